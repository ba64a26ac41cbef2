import Testing

@testable import Edge

@Suite struct StaticFilePathTests {
    private func path(_ target: String) throws -> StaticFilePath { try StaticFilePath(Array(target.utf8).span) }

    @Test(
        arguments: [
            ("/", [], true), ("/a", ["a"], false), ("/a/", ["a"], true), ("/a/b.html?x=/../y", ["a", "b.html"], false),
            ("//a///b", ["a", "b"], false), ("/./a/./b/", ["a", "b"], true), ("/%61%2Eb", ["a.b"], false),
            ("/a%20b", ["a b"], false),
            ("/%C3%A9", ["é"], false), ("/.well-known/acme", [".well-known", "acme"], false), ("/a?", ["a"], false),
            ("/?a", [], true),
            ("/a%3Fb", ["a?b"], false), ("/.", [], true), ("/a/.", ["a"], true), ("/a/%2E", ["a"], true),
        ] as [(String, [String], Bool)])
    func `a target becomes names below the root`(target: String, names: [String], isFolder: Bool) throws {
        let path = try path(target)
        #expect(path.components == names)
        #expect(path.isFolder == isFolder)
    }

    @Test(arguments: [
        "/..", "/../etc/passwd", "/a/../b", "/a/..", "/%2e%2e/x", "/.%2E/x", "/%2E./x", "/.git/config", "/a/.env", "/%2ehidden",
        "/.well-known2", "/.WELL-KNOWN", "/..%00", "/...",
    ])
    func `dot names and parents are never looked for`(target: String) {
        #expect(throws: StaticFilePath.Refusal.self) { try path(target) }
    }

    @Test(arguments: [
        "", "a", "*", "http://a/", "/%", "/%2", "/%zz", "/a%00b", "/%0a", "/%7F", "/a%2Fb", "/a%2f..%2fb", "/a\\b", "/a%5Cb",
        "/..%5C..",
        "/%FF", "/%C3", "/%ED%A0%80", "/%C0%AE%C0%AE/",
    ])
    func `what could mean something else is refused`(target: String) {
        #expect(throws: StaticFilePath.Refusal.self) { try path(target) }
    }

    @Test func `an encoded percent sign is decoded once`() throws {
        #expect(try path("/%252e%252e/a").components == ["%2e%2e", "a"])
    }

    @Test func `every byte gives a path below the root or none`() {
        for first in UInt8.min...UInt8.max {
            for second in [UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "2"), first] {
                let bytes = [UInt8(ascii: "/"), first, second, UInt8(ascii: "%"), UInt8(ascii: "2"), UInt8(ascii: "e")]
                guard let path = try? StaticFilePath(bytes.span) else { continue }
                for name in path.components {
                    #expect(!name.isEmpty && name != ".." && name != "." && !name.contains("/") && !name.utf8.contains(0))
                }
            }
        }
    }
}
