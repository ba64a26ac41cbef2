import Testing

@testable import HTTPSemantics

@Suite struct FieldNameTests {
    @Test(arguments: FieldName.allCases.filter { $0 != .other })
    func `every name is known by its spelling in any case, and by nothing near it`(name: FieldName) {
        let spelling = "\(name.spelling)"
        #expect(!spelling.isEmpty)
        for text in [spelling, spelling.uppercased(), spelling.lowercased()] {
            #expect(FieldName(Array(text.utf8).span) == name)
        }
        for text in [spelling + "x", "x" + spelling, spelling.replacing("-", with: "_"), "\u{E9}" + spelling.dropFirst()]
        where text != spelling {
            #expect(FieldName(Array(text.utf8).span) == .other, "\(text)")
        }
        // The bit that tells capitals from small letters tells nothing of other bytes.
        for (position, byte) in spelling.utf8.enumerated() {
            var bytes = Array(spelling.utf8)
            bytes[position] ^= byte == UInt8(ascii: "-") ? 0x20 : 0x40
            #expect(FieldName(bytes.span) == .other)
        }
    }

    @Test func `what is not in the table is other`() {
        for text in [
            "", "x", "X-Custom", String(repeating: "a", count: 31), String(repeating: "a", count: 32),
            String(repeating: "a", count: 70_000),
        ] {
            #expect(FieldName(Array(text.utf8).span) == .other)
        }
    }

    @Test func `presence fits a word of 64 bits`() {
        #expect(FieldName.allCases.count <= 64)
    }

    @Test func `RFC 9110 §7.6.1: what speaks of one connection only is never forwarded`() {
        #expect(
            FieldName.allCases.filter(\.isHopByHop) == [
                .connection, .keepAlive, .proxyAuthenticate, .proxyAuthorization, .proxyConnection, .te, .trailer,
                .transferEncoding, .upgrade,
            ])
    }
}

@Suite struct FieldSectionTests {
    @Test func `lines keep their order, spelling and repetition`() {
        var fields = FieldSection()
        fields.append("X-B", "1")
        fields.append("vary", "a")
        fields.append("X-A", "")
        fields.append("Vary", "b")
        #expect(fields.lines.map(\.name) == [.other, .vary, .other, .vary])
        #expect(fields.lines.indices.map { String(copying: fields.name(at: $0)) } == ["X-B", "vary", "X-A", "Vary"])
        #expect(fields.lines.indices.map { String(copying: fields.value(at: $0)) } == ["1", "a", "", "b"])
        #expect(fields.firstIndex(of: .vary) == 1 && fields.count(of: .vary) == 2 && fields.string(.vary) == "a")
        #expect(fields.contains(.vary) && !fields.contains(.host) && !fields.contains(.other))
        #expect(fields.count(of: .host) == 0 && fields.firstIndex(of: .host) == nil && fields.string(.host) == nil)
    }

    @Test func `emptied, nothing is left`() {
        var fields = FieldSection()
        fields.append("Host", "a")
        fields.removeAll()
        #expect(fields.isEmpty && fields.bytes.isEmpty && !fields.contains(.host))
    }

    @Test func `replaced, the old lines are handed back and forgotten`() {
        var fields = FieldSection()
        fields.append("Cookie", "x")
        var lines = [FieldSection.Line(name: .host, nameStart: 0, nameCount: 4, valueStart: 6, valueCount: 1)]
        fields.replace(bytes: Array("Host: a".utf8).span, lines: &lines)
        #expect(lines.isEmpty)
        #expect(fields.contains(.host) && !fields.contains(.cookie) && fields.string(.host) == "a")
    }

    @Test func `bytes without a line are added behind the others`() {
        var fields = FieldSection()
        fields.append("Host", "a")
        #expect(fields.appendBytes("/x") == 5..<7)
        #expect(fields.appendBytes(copying: 5..<7) == 7..<9)
        #expect(String(copying: fields.bytes.span) == "Hosta/x/x")
    }

    @Test func `values that are not UTF-8 are shown with a replacement`() {
        var fields = FieldSection()
        fields.append(name: Array("Host".utf8).span, value: ([0x61, 0xFF] as [UInt8]).span)
        #expect(fields.string(.host) == "a\u{FFFD}")
    }
}

@Suite struct MethodTests {
    @Test(arguments: Method.allCases.filter { $0 != .other }) func `a method is known by its exact spelling`(method: Method) {
        let spelling = "\(method.spelling)"
        #expect(Method(Array(spelling.utf8).span) == method)
        for text in [spelling.lowercased(), spelling + "S", String(spelling.dropLast()), "X" + spelling.dropFirst()] {
            #expect(Method(Array(text.utf8).span) == .other)
        }
    }

    @Test func `RFC 9110 §9.2: what is safe, what is idempotent`() {
        #expect(Method.allCases.filter(\.isSafe) == [.get, .head, .options, .trace])
        #expect(Method.allCases.filter(\.isIdempotent) == [.get, .head, .put, .delete, .options, .trace])
        #expect(Method(Array("".utf8).span) == .other && "\(Method.other.spelling)" == "")
    }
}
