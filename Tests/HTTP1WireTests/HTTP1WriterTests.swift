import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import HTTP1Wire

@Suite struct HTTP1WriterTests {
    private func written(_ body: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer()
        body(&buffer)
        return String(latin1: buffer.readableBytesView)
    }

    // MARK: Start lines

    @Test func `every status of the registry comes back with its reason`() throws {
        for status in 100...999 {
            var buffer = ByteBuffer()
            buffer.writeStatusLine(status)
            let line = String(latin1: buffer.readableBytesView)
            #expect(line.hasPrefix("HTTP/1.1 \(status) ") && line.hasSuffix("\r\n"))
            // Registered statuses have a reason, the others a bare line.
            #expect((line.utf8.count > 15) == (StatusLine.text(status) != nil))
            buffer.writeEndOfHead()
            var head = ResponseHead()
            var parser = HTTP1ResponseParser()
            #expect(try parser.parse(&buffer, into: &head, answering: .get))
            #expect(head.status == status)
        }
    }

    @Test(
        arguments: [
            (200, "OK"), (206, "Partial Content"), (304, "Not Modified"), (413, "Content Too Large"),
            (422, "Unprocessable Content"),
            (431, "Request Header Fields Too Large"), (502, "Bad Gateway"), (504, "Gateway Timeout"),
            (511, "Network Authentication Required"),
        ] as [(Int, String)])
    func `reasons are the registry's`(status: Int, reason: String) {
        #expect(written { $0.writeStatusLine(status) } == "HTTP/1.1 \(status) \(reason)\r\n")
    }

    @Test(arguments: Method.allCases.filter { $0 != .other && $0 != .connect })
    func `a request line comes back as it was written`(method: Method) throws {
        var buffer = ByteBuffer()
        buffer.writeRequestLine(method: method, target: "/a?b".utf8.span)
        buffer.writeField(.host, "example.org")
        buffer.writeEndOfHead()
        let first = buffer
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        #expect(try parser.parse(&buffer, into: &head))
        #expect(head.method == method)

        var again = ByteBuffer()
        again.writeRequestLine(of: head)
        again.writeFieldLine(of: head.fields, at: 0)
        again.writeEndOfHead()
        #expect(again == first)
    }

    @Test func `a method that we do not know and a completed target are written in full`() throws {
        var buffer = ByteBuffer(string: "M-SEARCH http://a?q HTTP/1.1\r\nHost: a\r\n\r\n")
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        #expect(try parser.parse(&buffer, into: &head))
        #expect(written { $0.writeRequestLine(of: head) } == "M-SEARCH /?q HTTP/1.1\r\n")
    }

    // MARK: Fields

    @Test(arguments: FieldName.allCases.filter { $0 != .other })
    func `every field name is written as it is known`(name: FieldName) throws {
        let line = written { $0.writeField(name, "v") }
        #expect(line == "\(name.spelling): v\r\n")
        #expect(FieldName(line.prefix { $0 != ":" }.description.utf8.span) == name)
        #expect(written { $0.writeField(name, "v" as StaticString) } == line)
    }

    @Test func `a value cannot begin another line`() {
        #expect(written { $0.writeField(.location, "/\r\nSet-Cookie: a=b\u{0}\n") } == "Location: /  Set-Cookie: a=b  \r\n")
        #expect(written { $0.writeField(.location, "\u{1}\u{7F}\t") } == "Location: \u{1}\u{7F}\t\r\n")
        #expect(written { $0.writeField(.location, "") } == "Location: \r\n")
    }

    @Test(arguments: [
        0, 1, 9, 10, 99, 100, 12345, -1, -10, Int.max, Int.min, 1_000_000_000_000_000_000, 999_999_999_999_999_999,
    ])
    func `a number is written in decimal`(value: Int) {
        #expect(written { $0.writeDecimal(value) } == String(value))
        #expect(written { $0.writeField(.age, value) } == "Age: \(value)\r\n")
    }

    @Test func `lines are forwarded in their order, spelling and repetition`() throws {
        let lines = "hOST: a\r\nx-b: 1\r\nX-A: \u{E9}\r\nx-b: 2\r\n"
        var buffer = ByteBuffer(bytes: ("GET / HTTP/1.1\r\n" + lines + "\r\n").latin1)
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        #expect(try parser.parse(&buffer, into: &head))
        #expect(
            written { output in head.fields.lines.indices.forEach { output.writeFieldLine(of: head.fields, at: $0) } } == lines)
    }

    /// White space as nobody writes it, empty values, repeated names, and lines that we added ourselves.
    @Test(arguments: 0..<128)
    func `lines that are chosen are written as one by one, whichever they are`(chosen: Int) throws {
        var buffer = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\nx-b: 1\r\nX-C:2\r\nX-D:   \r\nX-E: 5 \t\r\nX-F:\t6\r\n\r\n")
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        #expect(try parser.parse(&buffer, into: &head))
        var fields = head.fields
        fields.append("X-G", "7")
        #expect(fields.lines.count == 7)
        let single = written { output in
            for index in fields.lines.indices where chosen >> index & 1 == 1 { output.writeFieldLine(of: fields, at: index) }
        }
        #expect(written { $0.writeFieldLines(of: fields) { chosen >> $0 & 1 == 1 } } == single)
    }

    // MARK: Chunks

    @Test(arguments: [1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 0x1234_5678, Int.max])
    func `a chunk's size is written in hexadecimal`(size: Int) throws {
        let header = written { $0.writeChunkHeader(byteCount: size) }
        #expect(header == String(size, radix: 16) + "\r\n")
        var scanner = ChunkLineScanner()
        var read: Int?
        for byte in header.utf8 { read = try scanner.read(byte, extensionBytesMax: 0) }
        #expect(read == size)
    }

    @Test(arguments: UInt64(1)...20) func `a chunked body with trailers comes back as it was written`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let body = (0..<Int.random(in: 0...3000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        var trailers = FieldSection()
        for index in 0..<Int.random(in: 0...3, using: &random) { trailers.append("X-\(index)", "value \(seed)") }

        var wire = ByteBuffer()
        var rest = body[...]
        while !rest.isEmpty {
            let chunk = rest.prefix(Int.random(in: 1...700, using: &random))
            wire.writeChunkHeader(byteCount: chunk.count)
            wire.writeBytes(chunk)
            wire.writeChunkTrailerCRLF()
            rest = rest.dropFirst(chunk.count)
        }
        wire.writeLastChunk(trailers: trailers.isEmpty ? nil : trailers)

        var decoder = HTTP1BodyDecoder(.chunked)
        var read: [UInt8] = []
        while case .bytes(let slice) = try decoder.next(&wire) { read += slice.readableBytesView }
        #expect(decoder.isComplete)
        #expect(read == body)
        #expect(decoder.trailers.lines.count == trailers.lines.count)
        for index in trailers.lines.indices {
            #expect(String(copying: decoder.trailers.value(at: index)) == "value \(seed)")
        }
        #expect(wire.readableBytes == 0)
    }
}
