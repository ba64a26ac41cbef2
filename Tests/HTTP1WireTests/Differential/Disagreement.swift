@testable import HTTP1Wire

/// Where we and llhttp part: it goes on behind what we refuse, we go on behind what it refuses, or we understand the same
/// bytes in two ways.
enum Disagreement {
    case weRefuse(HTTP1Error.Code)
    case itRefuses(String)
    case understanding(String)

    init?(ours: Reading, refusal: HTTP1Error.Code?, its: Reading) {
        let common = min(ours.messages.count, its.messages.count)
        for index in 0..<common where ours.messages[index] != its.messages[index] {
            self = .understanding("message \(index): \(ours.messages[index]) or \(its.messages[index])")
            return
        }
        let isAhead = ours.messages.count > its.messages.count
        let isBehind = ours.messages.count < its.messages.count
        switch (ours.ending, its.ending) {
        case (.left, _) where !isAhead, (_, .left) where !isAhead && !isBehind:
            // One of us reads no further.
            return nil
        case (.refused, .refused) where !isAhead && !isBehind, (.complete, .complete) where !isAhead && !isBehind:
            return nil
        case (.unfinished, .refused) where !isBehind && !isAhead, (.refused, .unfinished) where !isBehind && !isAhead:
            // One says so as soon as a byte is wrong, the other when the head is whole. Neither took the message.
            return nil
        case (.unfinished, .unfinished) where !isAhead && !isBehind:
            return nil
        case (.unfinished, .complete) where !isAhead && !isBehind && ours.restStart == Octets.cr:
            // A CR behind the last message is nothing to it, and half of an empty line to us.
            return nil
        case (_, .refused(let reason)) where !isBehind:
            self = .itRefuses(reason)
        case (.refused, _) where !isAhead:
            self = .weRefuse(refusal!)
        default:
            self = .understanding("\(ours) or \(its)")
        }
    }
}

/// Why we and llhttp may part. Everything else is a fault of ours, or one of its that deserves a name here.
enum Reason: String, CaseIterable {
    // We are stricter.
    /// It takes `Host` for a field like any other; RFC 9112 §3.2 asks for exactly one, and valid.
    case hostIsChecked
    /// It forwards any target that has no control bytes; we know the four forms, and that fragments are not sent.
    case targetIsChecked
    /// It reads over several spaces in a request line; RFC 9112 §3 has exactly one.
    case oneSpaceOnly
    /// It reads over any number of CRs and LFs before a message; we over one CRLF before a request (RFC 9112 §2.2).
    case oneEmptyLineOnly
    /// It lets codings pass that it does not know, and reads till the end of the connection then, or refuses later.
    case chunkedOnly
    /// HTTP/1.0 has no transfer codings (RFC 9112 §6.1).
    case noCodingInOldVersion
    /// It takes `Connection` for whatever it finds; we for a list of tokens.
    case connectionIsChecked
    /// It does not look at `Expect`.
    case expectIsChecked
    /// It takes statuses below 100.
    case statusIsChecked
    /// It takes control bytes in a reason, and a CR without LF behind it.
    case reasonIsChecked
    /// It takes parts of a chunk extension without a name or a value.
    case extensionIsChecked
    /// It takes any number of zeros before a chunk's size.
    case sixteenDigitsOnly

    // We are looser.
    /// It knows a list of methods, and has HTTP/2's `PRI` be of HTTP/2.0; RFC 9110 §9.1 has an open list, and a proxy forwards
    /// what it does not know.
    case anyMethod
    /// It refuses HTTP/1.2 to 1.9; RFC 9110 §2.5 has us take them for 1.1.
    case laterMinorVersion
    /// It refuses white space around the parts of a chunk extension; RFC 9112 §7.1.1 has a recipient read over it.
    case spaceInExtension
    /// It reads trailers as if they were header fields, and refuses framing among them; we drop them (RFC 9110 §6.5.1).
    case framingInTrailers
    /// It takes a tab behind a value for a part of it, refuses such a length and does not know such a coding; RFC 9110 §5.5
    /// has white space around a value be no part of it.
    case tabBehindValue
    /// It takes `Proxy-Connection`, which no RFC knows, for `Connection`.
    case proxyConnection

    /// - Returns: `nil` when nobody knows why.
    init?(_ disagreement: Disagreement, ours: Reading, bytes: [UInt8]) {
        let text = String(latin1: bytes)
        if text.contains(/chunked *\t/) {
            self = .tabBehindValue
            return
        }
        switch disagreement {
        case .understanding:
            return nil
        case .weRefuse(let code):
            switch code {
            case .hostMissing, .hostRepeated, .hostInvalid, .hostDisagrees: self = .hostIsChecked
            case .targetForm, .targetFragment: self = .targetIsChecked
            case .targetByte where text.contains("  "), .versionMalformed where text.contains("  "): self = .oneSpaceOnly
            // By scalars: CRLF is one character.
            case .bareCR where text.contains(/HTTP\/1\.[0-9] [0-9]{3}[^\r\n]*\r[^\n]/.matchingSemantics(.unicodeScalar)):
                self = .reasonIsChecked
            case .bareCR, .bareLF, .emptyLines, .versionMalformed:
                guard ours.restStart == Octets.cr || ours.restStart == Octets.lf else { return nil }
                self = .oneEmptyLineOnly
            case .transferCodingUnknown, .transferEncodingMalformed, .chunkedNotFinal: self = .chunkedOnly
            case .transferEncodingInOldVersion: self = .noCodingInOldVersion
            case .connectionMalformed: self = .connectionIsChecked
            case .expectationUnknown: self = .expectIsChecked
            case .statusMalformed where text.contains("HTTP/1.1 0") || text.contains("HTTP/1.0 0"): self = .statusIsChecked
            case .reasonByte: self = .reasonIsChecked
            case .chunkExtensionMalformed: self = .extensionIsChecked
            case .chunkSizeMalformed where text.contains("00000000000000000"): self = .sixteenDigitsOnly
            default: return nil
            }
        case .itRefuses(let reason):
            switch reason {
            case "invalid HTTP method": self = .anyMethod
            case "invalid HTTP version" where text.contains("PRI "): self = .anyMethod
            case "invalid HTTP version" where text.contains(/HTTP\/1\.[2-9]/): self = .laterMinorVersion
            case "invalid character in chunk size header" where text.contains(/[0-9A-Fa-f][ \t]+;/): self = .spaceInExtension
            case "strict mode assertion" where text.contains(/;.*[ \t]/): self = .spaceInExtension
            case "invalid character in content-length header" where text.contains("\r\nContent-Length: 5\r\n"):
                self = .framingInTrailers
            case "invalid character in content-length header" where text.contains(/[0-9]\t/): self = .tabBehindValue
            case "data received after completed connection: close message" where text.contains("Proxy-Connection: close"):
                self = .proxyConnection
            default: return nil
            }
        }
    }
}
