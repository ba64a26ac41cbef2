import HTTPSemantics
import NIOCore
import NIOHPACK
import Testing

@testable import HTTP2Wire

/// What RFC 7541 says of reading header blocks, by section; and NIOHPACK as the other opinion.
@Suite struct HeaderBlockDecoderTests {
    private static func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits = hexadecimal.filter { $0 != " " && $0 != "\n" }.map { UInt8(String($0), radix: 16) ?? 0 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func decode(_ decoder: inout HeaderBlockDecoder, _ block: [UInt8]) throws -> [String] {
        var lines: [String] = []
        try decoder.decode(block.span) { _, name, value in
            lines.append("\(String(copying: name)): \(String(copying: value))")
        }
        return lines
    }

    struct Example: Sendable, CustomTestStringConvertible {
        let section: String
        /// Each block, its fields, and the size of the table behind it.
        let steps: [(block: String, lines: [String], tableBytes: Int)]

        var testDescription: String { section }
    }

    /// Appendix C.
    private static let examples: [Example] = [
        Example(section: "C.2.1", steps: [("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", ["custom-key: custom-header"], 55)]),
        Example(section: "C.2.2", steps: [("040c 2f73 616d 706c 652f 7061 7468", [":path: /sample/path"], 0)]),
        Example(section: "C.2.3", steps: [("1008 7061 7373 776f 7264 0673 6563 7265 74", ["password: secret"], 0)]),
        Example(section: "C.2.4", steps: [("82", [":method: GET"], 0)]),
        Example(section: "C.3", steps: [
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"], 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865",
                [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"], 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"], 164),
        ]),
        Example(section: "C.4", steps: [
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"], 57),
            ("8286 84be 5886 a8eb 1064 9cbf",
                [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"], 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
                [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"], 164),
        ]),
    ]

    @Test(arguments: Self.examples) func `the examples of Appendix C are read as they say`(example: Example) throws {
        var decoder = HeaderBlockDecoder()
        for step in example.steps {
            #expect(try Self.decode(&decoder, Self.bytes(step.block)) == step.lines)
            #expect(decoder.tableBytes == step.tableBytes)
        }
    }

    @Test(arguments: Self.examples) func `a block that is cut off is refused, or ends between two fields`(example: Example) throws {
        let block = Self.bytes(example.steps[0].block)
        for count in 1..<block.count {
            var decoder = HeaderBlockDecoder()
            let lines = (try? Self.decode(&decoder, Array(block.prefix(count)))) ?? []
            #expect(lines.count < example.steps[0].lines.count)
        }
    }

    private static let wrong: [(claim: String, block: String, failure: HeaderBlockDecoder.Failure)] = [
        ("§6.1, index 0", "80", .index),
        ("§2.3.3, an index over both tables", "be", .index),
        ("§2.3.3, a name's index over both tables", "7f 00 01 61", .index),
        ("§5.1, a number without an end", "ff ff ff ff ff ff ff", .integer),
        ("§5.1, a number that is cut off", "ff ff", .truncated),
        ("§5.2, a string longer than the block", "40 01 61 05 62", .truncated),
        ("§5.2, padding of eight bits", "40 01 61 82 1f ff", .huffman),
        ("§5.2, padding that is not all ones", "40 01 61 81 18", .huffman),
        ("§5.2, the end of a string spelled out", "40 01 61 84 ff ff ff ff", .huffman),
        ("§6.3, a table over what was announced", "3f e2 1f", .tableSize),
        ("§4.2, another size behind a field", "82 20", .tableSize),
    ]

    @Test(arguments: wrong) func `what cannot be right is refused`(claim: String, block: String, failure: HeaderBlockDecoder.Failure) {
        var decoder = HeaderBlockDecoder()
        #expect(throws: failure, "\(claim)") { try Self.decode(&decoder, Self.bytes(block)) }
    }

    @Test func `a smaller table drops its oldest entries, §4.3, and a larger field empties it, §4.4`() throws {
        var decoder = HeaderBlockDecoder()
        _ = try Self.decode(&decoder, Self.bytes("40 01 61 01 62 40 01 63 01 64"))
        #expect(decoder.entryCount == 2 && decoder.tableBytes == 68)
        // 34: one of them fits.
        #expect(try Self.decode(&decoder, [0x3F, 0x03, 0xBE]) == ["c: d"])
        #expect(decoder.entryCount == 1)
        _ = try Self.decode(&decoder, Self.bytes("40 01 61 02 62 62"))
        #expect(decoder.entryCount == 0 && decoder.tableBytes == 0)
    }

    @Test func `the table holds its limit whatever comes`() throws {
        var decoder = HeaderBlockDecoder()
        for number in 0..<2000 {
            let name = Array("name-\(number)".utf8)
            let value = [UInt8](repeating: UInt8(ascii: "v"), count: number % 120)
            _ = try Self.decode(&decoder, [0x40, UInt8(name.count)] + name + [UInt8(value.count)] + value)
            #expect(decoder.tableBytes <= HeaderBlockDecoder.tableBytesMax && decoder.entryCount <= 128)
        }
    }

    @Test func `every length of the Huffman code makes the codes of Appendix B`() {
        // Of each length one, from the appendix.
        let samples: [(Int, UInt32)] = [
            (48, 0x0), (32, 0x14), (58, 0x5C), (38, 0xF8), (33, 0x3F8), (39, 0x7FA), (35, 0xFFA), (0, 0x1FF8), (94, 0x3FFC), (60, 0x7FFC),
            (92, 0x7FFF0), (128, 0xFFFE6), (153, 0x1FFFDC), (129, 0x3FFFD2), (1, 0x7FFFD8), (9, 0xFFFFEA), (199, 0x1FFFFEC), (192, 0x3FFFFE0),
            (203, 0x7FFFFDE), (2, 0xFFFFFE2), (10, 0x3FFF_FFFC), (256, 0x3FFF_FFFF),
        ]
        for (symbol, code) in samples { #expect(HPACKHuffman.shared.codes[symbol] == code, "\(symbol)") }
    }

    @Test func `every byte comes back from the Huffman code`() {
        for byte in 0..<256 {
            var bits: [Bool] = []
            for symbol in [byte, 0x61, byte] {
                let count = Int(HPACKHuffman.lengths[symbol])
                for shift in (0..<count).reversed() { bits.append(HPACKHuffman.shared.codes[symbol] >> UInt32(shift) & 1 == 1) }
            }
            while bits.count % 8 != 0 { bits.append(true) }
            let text = stride(from: 0, to: bits.count, by: 8).map { start in bits[start..<start + 8].reduce(UInt8(0)) { $0 << 1 | ($1 ? 1 : 0) } }
            var output: [UInt8] = []
            let isText = HPACKHuffman.shared.decode(text.span, into: &output)
            #expect(isText && output == [UInt8(byte), 0x61, UInt8(byte)])
        }
    }

    @Test func `what NIOHPACK writes is read alike, block by block`() throws {
        var random = SystemRandomNumberGenerator()
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        var decoder = HeaderBlockDecoder()
        let names = [":path", "cookie", "accept", "x-custom", "user-agent", "a", "cache-control", "x-trace-id"]
        for _ in 0..<500 {
            var headers = HPACKHeaders()
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                let value = String((0..<Int.random(in: 0...80, using: &random)).map { _ in
                    Character(UnicodeScalar(UInt8.random(in: 0x20...0x7E, using: &random)))
                })
                let indexing: HPACKIndexing = [.indexable, .nonIndexable, .neverIndexed][Int.random(in: 0...2, using: &random)]
                headers.add(name: names.randomElement(using: &random) ?? "a", value: Bool.random(using: &random) ? "same" : value, indexing: indexing)
            }
            var block = ByteBuffer()
            try encoder.encode(headers: headers, to: &block)
            let lines = try Self.decode(&decoder, Array(block.readableBytesView))
            #expect(lines == headers.map { "\($0.name): \($0.value)" })
        }
    }

    @Test func `what we write is read by NIOHPACK`() throws {
        var head = ByteBuffer()
        let long = String(repeating: "long ", count: 60) + "."
        head.writeString(
            "HTTP/1.1 418 I am a teapot\r\nContent-Type: text/html\r\nX-Own: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\nX-Long: \(long)\r\n")
        var block = ByteBuffer()
        block.writeHPACKTableSizeZero()
        block.writeHPACKHead(head)
        var decoder = NIOHPACK.HPACKDecoder(allocator: ByteBufferAllocator())
        let headers = try decoder.decodeHeaders(from: &block)
        #expect(headers.map { "\($0.name): \($0.value)" } == [
            ":status: 418", "content-type: text/html", "x-own: a", "etag: \"x\"", "x-long: \(long)",
        ])
        for status in 100...599 {
            var block = ByteBuffer()
            block.writeHPACKStatus(status)
            #expect(try decoder.decodeHeaders(from: &block).first(name: ":status") == "\(status)")
        }
    }
}
