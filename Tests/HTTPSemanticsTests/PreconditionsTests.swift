import Testing

@testable import HTTPSemantics

/// RFC 9110 §13.2.2. The representation has the tag "1" and was last modified at `modified`, unless said otherwise.
@Suite struct PreconditionsTests {
    private static let modified: Int64 = 784_111_777
    private static let same = "Sun, 06 Nov 1994 08:49:37 GMT"
    private static let before = "Sun, 06 Nov 1994 08:49:36 GMT"
    private static let after = "Sun, 06 Nov 1994 08:49:38 GMT"

    private func evaluate(
        _ method: Method, _ lines: [(String, String)], tag: String? = "\"1\"", modified: Int64? = modified
    ) -> Preconditions.Outcome {
        var fields = FieldSection()
        for (name, value) in lines { fields.append(name, value) }
        return Preconditions.evaluate(
            method: method, fields: fields, entityTag: tag.flatMap { EntityTag(Array($0.utf8).span) }, lastModified: modified)
    }

    @Test func `without conditions the request is carried out`() {
        #expect(evaluate(.get, []) == .proceed)
        #expect(evaluate(.put, []) == .proceed)
    }

    // MARK: One condition

    @Test(
        arguments: [
            ("\"1\"", Preconditions.Outcome.proceed), ("\"0\", \"1\"", .proceed), ("*", .proceed), ("\"2\"", .failed),
            ("W/\"1\"", .failed), ("", .failed), ("1", .failed),
        ] as [(String, Preconditions.Outcome)])
    func `If-Match compares strongly`(value: String, outcome: Preconditions.Outcome) {
        for method in [Method.get, .put, .delete] { #expect(evaluate(method, [("If-Match", value)]) == outcome) }
    }

    @Test func `If-Match fails for a weak tag and for none`() {
        #expect(evaluate(.put, [("If-Match", "W/\"1\"")], tag: "W/\"1\"") == .failed)
        #expect(evaluate(.put, [("If-Match", "\"1\"")], tag: nil) == .failed)
        #expect(evaluate(.put, [("If-Match", "*")], tag: nil) == .proceed)
    }

    @Test(
        arguments: [
            ("\"1\"", true), ("W/\"1\"", true), ("\"0\", W/\"1\"", true), ("*", true), ("\"2\"", false), ("", false),
            ("1", false),
        ] as [(String, Bool)])
    func `If-None-Match compares weakly: 304 for reading, 412 for writing`(value: String, matches: Bool) {
        #expect(evaluate(.get, [("If-None-Match", value)]) == (matches ? .notModified : .proceed))
        #expect(evaluate(.head, [("If-None-Match", value)]) == (matches ? .notModified : .proceed))
        #expect(evaluate(.put, [("If-None-Match", value)]) == (matches ? .failed : .proceed))
        #expect(evaluate(.delete, [("If-None-Match", value)]) == (matches ? .failed : .proceed))
    }

    @Test func `If-None-Match with a tag matches nothing that has none`() {
        #expect(evaluate(.get, [("If-None-Match", "\"1\"")], tag: nil) == .proceed)
        #expect(evaluate(.get, [("If-None-Match", "*")], tag: nil) == .notModified)
    }

    @Test(
        arguments: [
            (before, Preconditions.Outcome.proceed), (same, .notModified), (after, .notModified), ("no date", .proceed),
            ("", .proceed),
        ] as [(String, Preconditions.Outcome)])
    func `If-Modified-Since compares seconds, for reading only`(value: String, outcome: Preconditions.Outcome) {
        #expect(evaluate(.get, [("If-Modified-Since", value)]) == outcome)
        #expect(evaluate(.head, [("If-Modified-Since", value)]) == outcome)
        #expect(evaluate(.post, [("If-Modified-Since", value)]) == .proceed)
        #expect(evaluate(.get, [("If-Modified-Since", value)], modified: nil) == .proceed)
    }

    @Test(
        arguments: [(before, Preconditions.Outcome.failed), (same, .proceed), (after, .proceed), ("no date", .proceed)]
            as [(String, Preconditions.Outcome)])
    func `If-Unmodified-Since compares seconds`(value: String, outcome: Preconditions.Outcome) {
        #expect(evaluate(.put, [("If-Unmodified-Since", value)]) == outcome)
        #expect(evaluate(.get, [("If-Unmodified-Since", value)]) == outcome)
        #expect(evaluate(.put, [("If-Unmodified-Since", value)], modified: nil) == .proceed)
    }

    @Test func `a date that is repeated is no condition`() {
        #expect(evaluate(.get, [("If-Modified-Since", Self.same), ("If-Modified-Since", Self.same)]) == .proceed)
        #expect(evaluate(.put, [("If-Unmodified-Since", Self.before), ("If-Unmodified-Since", Self.before)]) == .proceed)
    }

    // MARK: Precedence

    @Test func `step 2: If-Unmodified-Since counts only without If-Match`() {
        #expect(evaluate(.put, [("If-Match", "\"1\""), ("If-Unmodified-Since", Self.before)]) == .proceed)
        #expect(evaluate(.put, [("If-Match", "\"2\""), ("If-Unmodified-Since", Self.after)]) == .failed)
    }

    @Test func `steps 1 and 3: If-Match is first, If-None-Match is asked as well`() {
        #expect(evaluate(.get, [("If-None-Match", "\"1\""), ("If-Match", "\"2\"")]) == .failed)
        #expect(evaluate(.get, [("If-Match", "\"1\""), ("If-None-Match", "\"1\"")]) == .notModified)
        #expect(evaluate(.get, [("If-Unmodified-Since", Self.before), ("If-None-Match", "\"1\"")]) == .failed)
        #expect(evaluate(.get, [("If-Unmodified-Since", Self.after), ("If-None-Match", "\"1\"")]) == .notModified)
    }

    @Test func `step 4: If-Modified-Since counts only without If-None-Match`() {
        #expect(evaluate(.get, [("If-None-Match", "\"2\""), ("If-Modified-Since", Self.after)]) == .proceed)
        #expect(evaluate(.get, [("If-None-Match", "\"1\""), ("If-Modified-Since", Self.before)]) == .notModified)
        #expect(evaluate(.get, [("If-None-Match", ""), ("If-Modified-Since", Self.after)]) == .proceed)
        #expect(evaluate(.get, [("If-Match", "\"1\""), ("If-Modified-Since", Self.after)]) == .notModified)
    }
}
