import Foundation
import TestSupport
import Testing

@testable import Edge

@Suite struct LinearRegexTests {
    private func isFound(_ expression: String, in text: String) throws -> Bool {
        try LinearRegex(expression).isFound(in: Array(text.utf8))
    }

    @Test(arguments: [
        ("^/img/", "/img/a.png", true), ("^/img/", "/x/img/", false), (#"\.png$"#, "/img/a.png", true), (#"\.png$"#, "/img/a.png?1", false),
        ("a|b|", "", true), ("^(a|b)*c$", "ababc", true), ("^(a|b)*c$", "abdc", false), ("^a{2,3}$", "aa", true), ("^a{2,3}$", "aaaa", false),
        ("^a{2}$", "aaa", false), ("^a{2,}$", "aaaaa", true), ("^a{0}b$", "b", true), ("[^/]+$", "/", false), ("^[a-c-]+$", "a-c", true),
        ("^[]a]+$", "]a", true), (#"^\d+\w\s$"#, "12_ ", true), (#"^[\d.]+$"#, "1.2", true), (#"\x41"#, "A", true), ("(?i)^/ABC[d-f]$", "/aBcE", true),
        ("^(?:ab)+?$", "abab", true), ("^$", "", true), ("^$", "a", false), ("x*", "", true), ("a.c", "abc", true), ("$^", "", true),
        (#"^\D\W\S$"#, "a/b", true), (#"\/a\?b"#, "/a?b", true),
    ])
    func `finds what the expression describes`(expression: String, text: String, isThere: Bool) throws {
        #expect(try isFound(expression, in: text) == isThere, "\(expression) in \(text)")
    }

    @Test(arguments: [
        ("(", "a ( without its )"), (")", "a ) without its ("), ("[a", "a [ without its ]"), ("*a", "nothing to repeat"), ("a**", "repetition of a repetition"),
        (#"(a)\1"#, "back-references"), ("(?=a)", "look-around"), ("(?<n>a)", "look-around"), (#"\ba"#, #"\b is not had here"#), ("a++", "possessive"),
        ("a{3,2}", "goes backwards"), ("a{101}", "more than 100"), ("[b-a]", "goes backwards"), ("a{", "{n}"), ("^*", "nothing to repeat"),
        ("[[:alpha:]]", "not had here"), (#"a\"#, "at the end"), ("((a{0}){100}){100}", "too large"), ("((a{100}){100}){100}", "too large"),
        (String(repeating: "(", count: 40) + String(repeating: ")", count: 40), "deep"), (String(repeating: "a", count: 1025), "longer"),
    ])
    func `what it cannot say is refused, and why is said`(expression: String, reason: String) {
        #expect {
            _ = try LinearRegex(expression)
        } throws: { error in
            (error as? LinearRegex.Invalid)?.description.contains(reason) == true
        }
    }

    /// With a backtracking search each of these takes longer than the universe is old.
    @Test(arguments: ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$"])
    func `no expression takes more than linear time`(expression: String) throws {
        #expect(try !isFound(expression, in: String(repeating: "a", count: 4000) + "!"))
    }

    /// How it works: 1. Expressions are put together at random of what both understand. 2. Both search random texts. 3. They agree.
    @Test func `agrees with a regular expression of the system's`() throws {
        var random = SeededRandom(seed: 4)
        let system = NSRegularExpression.Options()
        var compared = 0
        for _ in 0..<3000 {
            let expression = Self.expression(&random, depth: 0)
            guard let ours = try? LinearRegex(expression) else { continue }
            let theirs = try NSRegularExpression(pattern: expression, options: system)
            for _ in 0..<5 {
                let text = String((0..<Int.random(in: 0...8, using: &random)).map { _ in random.pick(Array("abc/")) })
                let range = NSRange(location: 0, length: text.utf16.count)
                #expect(
                    ours.isFound(in: Array(text.utf8)) == (theirs.firstMatch(in: text, range: range) != nil), "\(expression) in \(text)")
                compared += 1
            }
        }
        #expect(compared > 10_000)
    }

    private static func expression(_ random: inout SeededRandom, depth: Int) -> String {
        let choice = Int.random(in: 0..<(depth > 3 ? 4 : 9), using: &random)
        switch choice {
        case 0, 1: return random.pick(["a", "b", "c", "/"])
        case 2: return random.pick([".", "[ab]", "[^a]", "[a-c]"])
        case 3: return random.pick(["^", "$", #"\w"#])
        case 4: return "(\(expression(&random, depth: depth + 1))|\(expression(&random, depth: depth + 1)))"
        case 5: return "(?:\(expression(&random, depth: depth + 1)))" + random.pick(["*", "+", "?", "{2}", "{1,2}"])
        default: return expression(&random, depth: depth + 1) + expression(&random, depth: depth + 1)
        }
    }
}
