import HTTP1Wire
import HTTPSemantics
import NIOCore

@testable import Edge

/// Heads as they come off the wire: made by the parsers, so that no test works with one that cannot exist.
extension RequestHead {
    /// - Parameter fields: whole lines, `Name: value`, besides `Host: a.example`.
    static func parsed(_ line: String, host: String = "a.example", _ fields: [String] = []) throws -> RequestHead {
        var buffer = ByteBuffer(string: ([line, "Host: \(host)"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        guard try parser.parse(&buffer, into: &head) else { throw HeadIsNotWhole() }
        return head
    }

    static func get(_ target: String = "/", _ fields: [String] = []) throws -> RequestHead {
        try parsed("GET \(target) HTTP/1.1", fields)
    }
}

extension ResponseHead {
    static func parsed(_ status: Int = 200, _ fields: [String] = [], answering method: Method = .get) throws -> ResponseHead {
        var buffer = ByteBuffer(string: (["HTTP/1.1 \(status) X"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
        var parser = HTTP1ResponseParser()
        var head = ResponseHead()
        guard try parser.parse(&buffer, into: &head, answering: method) else { throw HeadIsNotWhole() }
        return head
    }
}

struct HeadIsNotWhole: Error {}

extension EntityTag {
    init(_ text: String) throws {
        guard let tag = EntityTag(Array(text.utf8).span) else { throw HeadIsNotWhole() }
        self = tag
    }

    var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The lines of a head that was written, without the empty ones.
func lines(_ buffer: ByteBuffer) -> [String] {
    String(buffer: buffer).split(separator: "\r\n").map(String.init)
}

extension StoredResponse {
    static func make(
        _ fields: [String] = [], status: Int = 200, lifetime: Int = 60, age: Int = 0,
        received: NIODeadline = .uptimeNanoseconds(1_000_000_000), codings: CodingSet = []
    ) throws -> StoredResponse {
        let head = try ResponseHead.parsed(status, fields)
        return StoredResponse(
            head: head, fields: StoredFields.make(head.fields, date: Array("Sat, 31 Jan 2026 12:00:00 GMT".utf8)),
            cacheControl: CacheControl(head.fields), lifetimeSeconds: lifetime, initialAgeSeconds: age, received: received,
            codings: codings, wasAskedForPlain: true)
    }
}
