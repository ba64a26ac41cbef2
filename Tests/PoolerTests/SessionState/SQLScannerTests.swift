import TestSupport
import Testing

@testable import Pooler

@Suite struct SQLScannerTests {
    private func tokens(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        var scanner = SQLScanner()
        var found: [String] = []
        while true {
            let token = scanner.next(in: bytes.span)
            if token.kind == .end { return found }
            found.append(String(decoding: bytes[token.range], as: UTF8.self))
        }
    }

    @Test(arguments: [
        ("select 1", ["select", "1"]), ("a.b(c)", ["a", ".", "b", "(", "c", ")"]), ("-- x\nselect", ["select"]), ("--x\rselect", ["select"]),
        ("/* a /* b */ c */ d", ["d"]), ("/* open", []), ("'a;b'';c' d", ["'a;b'';c'", "d"]), ("E'a\\';b' c", ["E'a\\';b'", "c"]),
        ("'a\\' b", ["'a\\'", "b"]), ("\"a\"\"b\" c", ["\"a\"\"b\"", "c"]), ("$$a;b$$ c", ["$$a;b$$", "c"]), ("$x$a$$b$x$c", ["$x$a$$b$x$", "c"]),
        ("$1+$23", ["$1", "+", "$23"]), ("$x y", ["$", "x", "y"]), ("a$b$c", ["a$b$c"]), ("U&'x;' U&\"y\" u & v", ["U&'x;'", "U&\"y\"", "u", "&", "v"]),
        ("B'01' x'ff' n'z'", ["B'01'", "x'ff'", "n'z'"]), ("1.5e-3", ["1.5e", "-", "3"]), ("größe(1)", ["größe", "(", "1", ")"]), ("'open", ["'open"]),
        ("$$open", ["$$open"]), ("E'open\\", ["E'open\\"]), ("", []), (";;", [";", ";"]), ("a-b", ["a", "-", "b"]), ("a/b", ["a", "/", "b"]),
    ])
    func `text is parted where PostgreSQL parts it`(text: String, expected: [String]) {
        #expect(tokens(text) == expected)
    }

    @Test func `any bytes are parted without a trap, and to the end`() {
        var random = SeededRandom(seed: 5)
        let alphabet = Array("aeEuU&'\"$;-/*\\\n 1(x.".utf8) + [0, 0x80, 0xFF]
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in random.pick(alphabet) }
            var scanner = SQLScanner()
            var last = 0
            while true {
                let token = scanner.next(in: bytes.span)
                if token.kind == .end { break }
                #expect(!token.range.isEmpty && token.range.lowerBound >= last && token.range.upperBound <= bytes.count)
                last = token.range.upperBound
                _ = token.stringValue(in: bytes.span)
                _ = token.name(in: bytes.span)
            }
            _ = SQLClassifier.classify(bytes.span)
        }
    }
}
