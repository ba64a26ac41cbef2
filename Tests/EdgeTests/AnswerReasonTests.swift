import Foundation
import Testing

@testable import Edge

@Suite struct AnswerReasonTests {
    @Test func `every reason is a token, as a detail has to be`() {
        for reason in AnswerReason.allCases { #expect(reason.word.wholeMatch(of: /[a-zA-Z][-a-zA-Z0-9]*/) != nil, "\(reason)") }
    }

    @Test func `a kind and a word say which reason it is`() {
        #expect(Set(AnswerReason.allCases.map { "\($0.kind.rawValue) \($0.word)" }).count == AnswerReason.allCases.count)
        #expect(Set(AnswerReason.allCases.map(\.kind)) == Set(AnswerReason.Kind.allCases), "each kind has reasons")
        for (index, reason) in AnswerReason.allCases.enumerated() { #expect(reason.number == index) }
    }

    /// The rows of docs/response-cache.md, `` | `word` | kind | meaning | ``.
    @Test func `the documentation lists each reason, and no other`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/response-cache.md"), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix("Reasons\n") })
        let listed = section.matches(of: /(?m)^\| `([^`]+)` \| ([a-z-]+) \| .+ \|$/).map { "\($0.output.2) \($0.output.1)" }
        // Malformed requests have no part in the cache; `HTTP1Error.Code` says what each is.
        let known = AnswerReason.allCases.filter { $0.kind != .refused }.map { "\($0.kind.rawValue) \($0.word)" }
        #expect(Set(known).subtracting(listed).sorted() == [], "not in the documentation")
        #expect(Set(listed).subtracting(known).sorted() == [], "only in the documentation")
        #expect(listed.count == known.count)
    }
}
