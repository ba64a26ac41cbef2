import HTTPSemantics
import NIOCore

/// What browsers are told to fetch while the application makes a page: 103 Early Hints.
/// - Source: RFC 8297.
public struct EarlyHintsConfiguration: Sendable, Equatable {
    /// Links of one answer; more are refused, and of a page's own no more are kept.
    public static let linksMax = 16
    /// Bytes of all links of one answer. 2 KiB: what fits into the first packets besides a head.
    public static let bytesMax = 2048

    /// Members of a `Link` field, each with `rel=preload`, `modulepreload` or `preconnect`.
    public var links: [String] = []
    /// Say again what a page's own `Link` fields said when it could be kept for all.
    public var learns = false
    /// Clients of HTTP/1.1 get them, too. Some take the first head that comes for the answer (RFC 8297 §3).
    public var includesHTTP1 = false

    public init() {}

    /// - Returns: the text, if it is one link, with one of those relations and no anchor.
    public static func link(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }), let link = LinkValue.all(bytes.span, countMax: 2).first, !link.relations.isEmpty,
            !link.hasAnchor, link.range == bytes.indices
        else { return nil }
        return text
    }
}

/// What a route says otherwise than ``EdgeConfiguration/earlyHints``.
public struct RouteEarlyHints: Sendable, Equatable {
    public var isEnabled = true
    /// Empty for what the edge says.
    public var links: [String] = []
    public var learns: Bool?
    public var includesHTTP1: Bool?

    public init() {}

    func applied(to edge: EarlyHintsConfiguration) -> EarlyHintsConfiguration {
        guard isEnabled else { return EarlyHintsConfiguration() }
        var hints = edge
        if !links.isEmpty { hints.links = links }
        hints.learns = learns ?? edge.learns
        hints.includesHTTP1 = includesHTTP1 ?? edge.includesHTTP1
        return hints
    }
}

/// The hints of a route: whom they are for, and which of a page's links make one.
struct EarlyHints {
    let links: [[UInt8]]
    let learns: Bool
    let includesHTTP1: Bool

    /// - Returns: `nil` when nothing is ever hinted.
    init?(_ configuration: EarlyHintsConfiguration) {
        guard !configuration.links.isEmpty || configuration.learns else { return nil }
        links = configuration.links.map { Array($0.utf8) }
        (learns, includesHTTP1) = (configuration.learns, configuration.includesHTTP1)
    }

    /// Whether a browser asks for a page that it will show, by a version of HTTP in which it can take more than one head.
    /// - Source: Fetch Metadata §2.2 (`Sec-Fetch-Mode`); a browser that does not send it says what it would like to get.
    func areFor(_ request: borrowing RequestHead, isHTTP2: Bool) -> Bool {
        guard request.method == .get, isHTTP2 || includesHTTP1 && request.minorVersion > 0 else { return false }
        if let mode = request.fields.value(named: "Sec-Fetch-Mode") {
            return request.fields.bytes.span.extracting(mode).elementsEqual("navigate")
        }
        for index in request.fields.lines.indices where request.fields.lines[index].name == .accept {
            if Self.namesHTML(request.fields.value(at: index)) { return true }
        }
        return false
    }

    private static func namesHTML(_ accept: Span<UInt8>) -> Bool {
        var start = 0
        while start < accept.count {
            var end = start
            while end < accept.count, accept[end] != UInt8(ascii: ",") { end += 1 }
            if MediaType(accept.extracting(start..<end))?.essence == "text/html" { return true }
            start = end + 1
        }
        return false
    }

    /// Those links of a page that make a hint, each once; ``EarlyHintsConfiguration/linksMax`` and ``EarlyHintsConfiguration/bytesMax``
    /// at most, the first of them.
    static func links(of fields: borrowing FieldSection) -> [[UInt8]] {
        var links: [[UInt8]] = []
        var bytes = 0
        for index in fields.lines.indices where fields.lines[index].name == .link {
            let value = fields.value(at: index)
            for link in LinkValue.all(value, countMax: EarlyHintsConfiguration.linksMax) where !link.relations.isEmpty && !link.hasAnchor {
                guard links.count < EarlyHintsConfiguration.linksMax, bytes + link.range.count <= EarlyHintsConfiguration.bytesMax else { return links }
                let text = value.extracting(link.range).withUnsafeBufferPointer { Array($0) }
                guard !links.contains(text) else { continue }
                bytes += text.count
                links.append(text)
            }
        }
        return links
    }

    /// Whether a page that could be kept for all says in its links what it says to everybody, so that they may be said before it is asked.
    ///
    /// What varies by a cookie or the like is one client's; by a language, other files may be meant. Links of a field that `private` or
    /// `no-cache` names are not for others either.
    static func areLearnt(from head: ResponseHead, withheld: WithheldFields) -> Bool {
        isPage(head) && VaryNames(head.fields).without("accept-encoding").isEmpty && !withheld.contains("link".utf8.span)
    }

    static func isPage(_ head: ResponseHead) -> Bool {
        guard head.status == 200, let index = head.fields.firstIndex(of: .contentType) else { return false }
        return MediaType(head.fields.value(at: index))?.essence == "text/html"
    }

    static func write(_ links: [[UInt8]], into output: inout ByteBuffer) {
        output.writeStaticString("HTTP/1.1 103 Early Hints\r\n")
        for link in links {
            output.writeStaticString("Link: ")
            output.writeBytes(link)
            output.writeStaticString("\r\n")
        }
        output.writeStaticString("\r\n")
    }

    /// Whether all links of a field's line are among those that were hinted before.
    static func isKnown(_ value: Span<UInt8>, among hinted: [[UInt8]]) -> Bool {
        let links = LinkValue.all(value, countMax: EarlyHintsConfiguration.linksMax + 1)
        guard !links.isEmpty, links.count <= EarlyHintsConfiguration.linksMax else { return false }
        return links.allSatisfy { link in
            let text = value.extracting(link.range)
            return hinted.contains { hint in text.count == hint.count && text.indices.allSatisfy { text[$0] == hint[$0] } }
        }
    }
}

extension Span<UInt8> {
    fileprivate func elementsEqual(_ word: StaticString) -> Bool {
        count == word.utf8CodeUnitCount && indices.allSatisfy { self[$0] == word.utf8Start[$0] }
    }
}
