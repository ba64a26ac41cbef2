import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct ResponseHeadWriterTests {
    private let date = Array("Sat, 31 Jan 2026 12:00:00 GMT".utf8)

    private func written(
        _ fields: [String], status: Int = 200, _ framing: ResponseHeadWriter.Framing = .length(5),
        _ change: (inout ResponseHeadWriter) -> Void = { _ in }
    ) throws -> [String] {
        var writer = ResponseHeadWriter(framing: framing)
        change(&writer)
        var buffer = ByteBuffer()
        writer.write(status: status, try ResponseHead.parsed(status, fields).fields, date: date, into: &buffer)
        return lines(buffer)
    }

    @Test func `the application's fields pass in order and spelling`() throws {
        let result = try written(["x-b: 1", "Content-Type: text/plain", "X-A: 2", "Set-Cookie: a", "Set-Cookie: b"])
        #expect(Array(result[1...5]) == ["x-b: 1", "Content-Type: text/plain", "X-A: 2", "Set-Cookie: a", "Set-Cookie: b"])
        #expect(result.contains("Date: Sat, 31 Jan 2026 12:00:00 GMT") && result.contains("Via: 1.1 headrace"))
    }

    @Test func `hop-by-hop fields and what Connection names do not pass`() throws {
        let result = try written([
            "Connection: X-Hop, close", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Authenticate: x", "Upgrade: h2c", "Trailer: x",
            "TE: x",
        ])
        #expect(result.count == 4, "\(result)")
    }

    @Test func `Trailer goes with the trailers (RFC 9110 §6.6.2)`() throws {
        #expect(try written(["Trailer: X-Sum"], .chunked).contains("Trailer: X-Sum"))
        for framing in [ResponseHeadWriter.Framing.length(5), .untilClose, .noBody] {
            #expect(try written(["Trailer: X-Sum"], framing).contains { $0.hasPrefix("Trailer") } == false)
        }
    }

    @Test func `trailers that speak of the plain bytes do not follow coded ones`() {
        var trailers = FieldSection()
        for name in ["X-Sum", "Content-Digest", "ETag", "Server-Timing"] { trailers.append(name, "x") }
        func names(_ coding: ContentCoding) -> [String] {
            let kept = ResponseHeadWriter.trailers(trailers, ofCoded: coding)
            return kept.lines.indices.map { String(copying: kept.name(at: $0)) }
        }
        #expect(names(.gzip) == ["X-Sum", "Server-Timing"])
        #expect(names(.identity) == ["X-Sum", "Content-Digest", "ETag", "Server-Timing"])
    }

    @Test func `an application's own Date stays the only one`() throws {
        let result = try written(["Date: Fri, 30 Jan 2026 12:00:00 GMT"])
        #expect(result.filter { $0.hasPrefix("Date") } == ["Date: Fri, 30 Jan 2026 12:00:00 GMT"])
    }

    @Test func `the end of the body is said in one way`() throws {
        func framing(_ lines: [String]) -> [String] { lines.filter { $0.hasPrefix("Content-L") || $0.hasPrefix("Transfer") } }
        #expect(framing(try written(["Content-Length: 9"], .length(5))) == ["Content-Length: 5"])
        #expect(framing(try written(["Content-Length: 9"], .chunked)) == ["Transfer-Encoding: chunked"])
        #expect(framing(try written(["Transfer-Encoding: chunked"], .length(5))) == ["Content-Length: 5"])
        #expect(framing(try written(["Content-Length: 9"], .untilClose)) == [])
        #expect(framing(try written(["Content-Length: 9"], .noBody)) == ["Content-Length: 9"], "HEAD")
        #expect(framing(try written(["Content-Length: 9"], status: 304, .noBody)) == ["Content-Length: 9"])
    }

    @Test func `a 204 has no Content-Length (RFC 9110 §8.6)`() throws {
        #expect(!(try written(["Content-Length: 0"], status: 204, .noBody)).contains { $0.hasPrefix("Content-Length") })
    }

    @Test func `a coding changes what speaks of the bytes`() throws {
        let result = try written([
            "ETag: \"a\"", "Accept-Ranges: bytes", "Content-Digest: sha-256=:x:", "digest: y", "Content-MD5: z",
            "Repr-Digest: sha-256=:w:",
        ]) {
            $0.coding = .gzip
            $0.variesByCoding = true
            $0.entityTag = EntityTag(isWeak: false, opaque: Array("a~gz".utf8))
        }
        #expect(
            result.contains("Content-Encoding: gzip") && result.contains("Vary: Accept-Encoding")
                && result.contains("ETag: \"a~gz\""))
        #expect(result.filter { $0.hasPrefix("ETag") }.count == 1)
        #expect(
            !result.contains {
                $0.contains("Accept-Ranges") || $0.contains("Content-Digest") || $0.contains("digest: y") || $0.contains("MD5")
            })
        #expect(
            result.contains("Repr-Digest: sha-256=:w:"), "it speaks of the representation before transfer, by the sender's word")
    }

    @Test func `a coded response never goes out with the plain one's tag`() throws {
        #expect(!(try written(["ETag: not-a-tag"]) { $0.coding = .gzip }).contains { $0.hasPrefix("ETag") })
    }

    @Test func `Vary is merged where the response could come in another coding, also in the plain one`() throws {
        #expect(
            try written(["Vary: Cookie"]) { $0.variesByCoding = true }.filter { $0.hasPrefix("Vary") } == [
                "Vary: Cookie, Accept-Encoding"
            ])
        #expect(try written(["Vary: Cookie"]).filter { $0.hasPrefix("Vary") } == ["Vary: Cookie"])
    }

    @Test func `Age is dropped from what is stored, and passes else`() throws {
        #expect(try written(["Age: 5"]).contains("Age: 5"))
        #expect(!(try written(["Age: 5"]) { $0.dropsAge = true }).contains("Age: 5"))
    }

    @Test func `a 304 says what a 200 would have said about caching, and nothing of the body (RFC 9110 §15.4.5)`() throws {
        let response = try StoredResponse.make(
            [
                "Content-Type: text/html", "Cache-Control: max-age=60", "Vary: Cookie", "ETag: \"a\"", "Expires: x",
                "Content-Location: /y",
                "Last-Modified: z", "X-Mine: 1",
            ], codings: [.gzip])
        let representation = Representation(
            response: response, coding: .identity, effort: .asReceived, head: ByteBuffer(), body: ByteBuffer(),
            entityTag: response.entityTag)
        var buffer = ByteBuffer()
        ResponseHeadWriter.writeNotModified(representation, entityTag: nil, date: date, into: &buffer)
        let result = lines(buffer)
        #expect(result[0] == "HTTP/1.1 304 Not Modified")
        #expect(
            Set(result[1...]) == [
                "Cache-Control: max-age=60", "Vary: Cookie, Accept-Encoding", "ETag: \"a\"", "Expires: x", "Content-Location: /y",
                "Date: Sat, 31 Jan 2026 12:00:00 GMT", "Via: 1.1 headrace",
            ])
        buffer.clear()
        ResponseHeadWriter.writeNotModified(
            representation, entityTag: EntityTag(isWeak: false, opaque: Array("a~gz".utf8)), date: date, into: &buffer)
        #expect(lines(buffer).contains("ETag: \"a~gz\""))
    }
}
