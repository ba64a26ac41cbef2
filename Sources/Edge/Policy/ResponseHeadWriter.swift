import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The head that a client is sent for an application's response.
///
/// The application's fields pass in their order and spelling, but for hop-by-hop fields and what `Connection` names, the
/// framing, and what compression changes: the length, the entity tag, `Vary`, and fields that speak of bytes which are no
/// longer those (`Accept-Ranges`, digests of the content).
/// - Source: RFC 9110 §7.6.1, §8.6, §8.8.3.3 (one entity tag per coding); RFC 9530 §2.
struct ResponseHeadWriter {
    /// How the client finds the end of the body.
    enum Framing: Equatable {
        /// The response has no body: its own `Content-Length`, if any, passes (HEAD, 304; not 204: RFC 9110 §8.6).
        case noBody
        case length(Int)
        case chunked
        /// Until the connection closes: HTTP/1.0 clients, when the length is not known.
        case untilClose
    }

    var framing: Framing
    /// The coding that we apply; identity if none.
    var coding = ContentCoding.identity
    /// The entity tag that goes out in place of the application's.
    var entityTag: EntityTag?
    /// Whether this response could also have come in another coding.
    var variesByCoding = false
    /// `Age` is ours to compute when the response is stored.
    var dropsAge = false
    /// Which bytes of the whole the body is.
    var contentRange: String?
    /// What the body is, in the place of what the application says of the whole.
    var contentType: String?
    /// What browsers are told about keeping the response; its lines follow the head where they depend on the request.
    var browserCaching: BrowserCachingAdvice?

    /// Writes status line and fields, without the empty line: what is said of the single answer follows.
    /// - Parameter date: 29 bytes, used when the application sent no `Date` (RFC 9110 §6.6.1).
    func write(status: Int, _ fields: FieldSection, date: [UInt8], into output: inout ByteBuffer) {
        output.writeStatusLine(status)
        let connection = ConnectionOptions(fields)
        var hasVary = false
        output.writeFieldLines(of: fields) { index in
            let name = fields.lines[index].name
            switch name {
            case .contentLength where framing == .noBody && coding == .identity && status != 204:
                break
            case .contentLength:
                return false
            case .age where dropsAge:
                return false
            case .headraceCacheControl, .surrogateControl:
                return false
            case .contentType where contentType != nil:
                return false
            case .etag where entityTag != nil || coding != .identity:
                return false
            case .acceptRanges where coding != .identity:
                return false
            case .vary where variesByCoding:
                hasVary = true
                return false
            case .cacheControl, .expires, .pragma, .cdnCacheControl:
                if let browserCaching, browserCaching.replaces { return false }
            case .other where coding != .identity && Self.isContentDigest(fields.name(at: index)):
                return false
            case .trailer where framing == .chunked:
                // What it promises comes behind the last chunk (RFC 9110 §6.6.2).
                break
            case .other where DependencyTags.isTagField(name, fields.name(at: index)):
                return false
            default:
                if name.isHopByHop { return false }
            }
            return connection.isEmpty || !connection.names(fields.name(at: index))
        }
        if let entityTag {
            var value: [UInt8] = []
            entityTag.append(to: &value)
            output.writeField(.etag, value.span)
        }
        if variesByCoding {
            if hasVary {
                output.writeField(.vary, VaryOnCoding.merged(fields).span)
            } else {
                output.writeStaticString("Vary: Accept-Encoding\r\n")
            }
        }
        if coding != .identity { output.writeField(.contentEncoding, coding.token) }
        if let contentType { output.writeField(.contentType, contentType) }
        if let contentRange { output.writeField(.contentRange, contentRange) }
        switch framing {
        case .noBody, .untilClose: break
        case .length(let count): output.writeField(.contentLength, count)
        case .chunked: output.writeStaticString("Transfer-Encoding: chunked\r\n")
        }
        if !fields.contains(.date) { output.writeField(.date, date.span) }
        output.writeStaticString("Via: 1.1 headrace\r\n")
    }

    /// The head of a 304: what a 200 would have said about caching, and nothing about the body.
    /// - Source: RFC 9110 §15.4.5.
    /// - Parameter entityTag: the tag by which the client knows the response; `nil` for the representation's own.
    static func writeNotModified(
        _ representation: Representation, entityTag: EntityTag?, date: [UInt8], into output: inout ByteBuffer
    ) {
        output.writeStatusLine(304)
        let response = representation.response
        let fields = response.fields
        for index in fields.lines.indices {
            let name = fields.lines[index].name
            if let advice = response.browserCaching, advice.isReplaced(name) { continue }
            switch name {
            case .cacheControl, .cdnCacheControl, .contentLocation, .date, .expires:
                output.writeFieldLine(of: fields, at: index)
            case .vary where response.codings.isEmpty:
                output.writeFieldLine(of: fields, at: index)
            default:
                continue
            }
        }
        if let entityTag = entityTag ?? representation.entityTag {
            var value: [UInt8] = []
            entityTag.append(to: &value)
            output.writeField(.etag, value.span)
        } else if let index = fields.firstIndex(of: .lastModified) {
            output.writeFieldLine(of: fields, at: index)
        }
        if !response.codings.isEmpty {
            if fields.contains(.vary) {
                output.writeField(.vary, VaryOnCoding.merged(fields).span)
            } else {
                output.writeStaticString("Vary: Accept-Encoding\r\n")
            }
        }
        if !fields.contains(.date) { output.writeField(.date, date.span) }
        output.writeStaticString("Via: 1.1 headrace\r\n")
    }

    /// The trailer fields that still hold when the body was coded on its way: not those that speak of the plain bytes.
    static func trailers(_ trailers: FieldSection, ofCoded coding: ContentCoding) -> FieldSection {
        guard coding != .identity else { return trailers }
        var kept = FieldSection()
        for index in trailers.lines.indices {
            let name = trailers.lines[index].name
            if name == .etag || name == .other && isContentDigest(trailers.name(at: index)) { continue }
            kept.append(name: trailers.name(at: index), value: trailers.value(at: index))
        }
        return kept
    }

    /// `Content-Digest` and the older `Digest` and `Content-MD5` are taken over the coded bytes, so they no longer hold.
    /// - Source: RFC 9530 §2, RFC 9110 §8.
    private static func isContentDigest(_ name: Span<UInt8>) -> Bool {
        ["content-digest", "digest", "content-md5"].contains(String(copying: name).lowercased())
    }
}
