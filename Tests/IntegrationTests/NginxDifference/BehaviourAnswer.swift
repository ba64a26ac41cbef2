import Foundation
import TestSupport

/// What of an answer is compared. The raw value is the word for it in `docs/edge.md`.
enum AnswerPart: String, CaseIterable, Sendable {
    case status, body
    case contentType = "Content-Type"
    case contentLength = "Content-Length"
    case contentRange = "Content-Range"
    case contentEncoding = "Content-Encoding"
    case transferEncoding = "Transfer-Encoding"
    case etag = "ETag"
    case lastModified = "Last-Modified"
    case location = "Location"
    case allow = "Allow"
    case vary = "Vary"
    case connection = "Connection"
    case acceptRanges = "Accept-Ranges"
    case cacheControl = "Cache-Control"
    case setCookie = "Set-Cookie"
    case wwwAuthenticate = "WWW-Authenticate"
    case trailer = "Trailer"
    case trailers
    case interim
}

/// An answer to a ``BehaviourRequest``, reduced to what two servers can be compared by.
struct BehaviourAnswer: Sendable {
    /// Only what is there. Bodies are decoded; of an entity tag it is only said whether there is one, and whether it is weak.
    private(set) var parts: [AnswerPart: String] = [:]

    subscript(part: AnswerPart) -> String { parts[part] ?? "–" }
    var status: Int { Int(self[.status]) ?? 0 }
    /// An error or a redirect that the server made itself, with a page of its own.
    var isOwnPage: Bool { self[.contentType].hasPrefix("text/html") && (self[.body].contains("nginx") || self[.body].contains("headrace")) }

    /// Puts a request to a server.
    init(_ request: BehaviourRequest, port: Int, entityTag: String) throws {
        let client = try RawClient(port: port)
        client.send(request.text.replacing("{etag}", with: entityTag))
        let response: RawClient.Response
        do {
            var next = try client.readResponse(hasBody: request.method != "HEAD")
            while (100..<200).contains(next.status), next.status != 101 {
                parts[.interim] = (parts[.interim].map { $0 + " " } ?? "") + "\(next.status)"
                next = try client.readResponse(hasBody: request.method != "HEAD")
            }
            response = next
        } catch {
            // A head perhaps, but not all of its body.
            let text = client.peek()
            parts[.status] = text.hasPrefix("HTTP/1.1 ") ? String(text.dropFirst(9).prefix(3)) : "closed"
            parts[.body] = text.isEmpty ? nil : "cut"
            return
        }
        parts[.status] = "\(response.status)"
        for part in AnswerPart.allCases where part.rawValue.first?.isUppercase == true { parts[part] = response.field(part.rawValue) }
        if let tag = parts[.etag] { parts[.etag] = tag.hasPrefix("W/") ? "weak" : "strong" }
        // The server's own address, where it says it.
        parts[.location] = parts[.location]?.replacing(":\(port)/", with: ":PORT/")
        if !response.trailers.isEmpty { parts[.trailers] = response.trailers }
        // The answer to HEAD may say a coding, and has nothing to decode.
        let body = response.body.isEmpty ? "" : try Decoded.text(response)
        if !body.isEmpty { parts[.body] = body }
        reduceMultipart()
    }

    /// Boundaries differ from answer to answer, and with them the length.
    private mutating func reduceMultipart() {
        guard let type = parts[.contentType], let boundary = type.firstMatch(of: /^multipart\/byteranges; boundary=(.+)$/)?.1 else { return }
        parts[.contentType] = "multipart/byteranges"
        parts[.contentLength] = "that of the parts"
        parts[.body] = parts[.body]?.replacing(boundary, with: "BOUNDARY").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func differences(from other: BehaviourAnswer) -> [AnswerPart] { AnswerPart.allCases.filter { self[$0] != other[$0] } }
}
