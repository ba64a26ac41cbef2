import Foundation
import Testing

/// What the documentation says is tested, and by what.
@Suite struct DocumentedTestsTests {
    /// The names of the tests of each suite.
    private static func tests() throws -> [String: [String]] {
        var tests: [String: [String]] = [:]
        for file in try SourceTree.swiftFiles(under: SourceTree.root.appending(path: "Tests")) {
            var suite = ""
            for line in file.text.split(separator: "\n") {
                if let match = line.firstMatch(of: /(?:struct|class) (\w+Tests)\b/) {
                    suite = String(match.1)
                    tests[suite, default: []] += []
                }
                if let match = line.firstMatch(of: /func `([^`]+)`/) { tests[suite, default: []].append(match.1.lowercased()) }
            }
        }
        return tests
    }

    /// The last column of the table: `` `SuiteTests`, `OtherTests`: what it claims ``.
    @Test(arguments: [("response-cache.md", "Section by section", 30), ("dashboard.md", "What holds it", 25), ("proof.md", "What holds it", 25)])
    func `each row of the table names tests that are there`(page: String, title: String, rowsMin: Int) throws {
        let tests = try Self.tests()
        let text = try String(contentsOf: SourceTree.root.appending(path: "docs/" + page), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix(title + "\n") })
        let rows = section.split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst()
        #expect(rows.count > rowsMin)
        for row in rows {
            let cell = row.split(separator: "|").last ?? ""
            let named = cell.matches(of: /`(\w+Tests)`(?:: ([^;,`|]+))?/)
            #expect(!named.isEmpty, "no test: \(row)")
            for name in named {
                let suite = String(name.1)
                let known = try #require(tests[suite], "there is no \(suite): \(row)")
                guard let claim = name.2.map({ $0.trimmingCharacters(in: .whitespaces).lowercased() }) else { continue }
                #expect(known.contains { $0.contains(claim) }, "\(suite) has no test \"\(claim)\"")
            }
        }
    }
}
