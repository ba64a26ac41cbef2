import Testing

@testable import HTTP1Wire

/// How it works: every example of ``Examples`` goes through a ``Conversation`` whole, split in two at every byte, one byte at a
/// time, and cut short at every byte. The events must be the same, and a message that was cut must have no end.
@Suite struct ExamplesTests {
    @Test(arguments: Examples.refusals) func `what could be understood in two ways is refused`(refusal: Refusal) {
        #expect(Conversation.events(refusal.example.sender, refusal.example.wire[...]).last == .refused(refusal.code))
    }

    @Test(arguments: Examples.accepted) func `what has one meaning is accepted to its end`(example: Example) {
        let events = Conversation.events(example.sender, example.wire[...])
        guard case .end = events.last else {
            Issue.record("\(events)")
            return
        }
    }

    @Test func `every reason to refuse has an example`() {
        // `fieldTooLong` needs limits that are wider than the default, `bodyTooLarge` is the caller's own,
        // `truncated` is what the truncation test is about.
        let elsewhere: Set<HTTP1Error.Code> = [.fieldTooLong, .bodyTooLarge, .truncated]
        #expect(Set(Examples.refusals.map(\.code)).union(elsewhere) == Set(HTTP1Error.Code.allCases))
    }

    @Test(arguments: Examples.refusals.filter { $0.example.sender == .client })
    func `nothing of a refused request counts as read`(refusal: Refusal) {
        // Its head may have been right and its body wrong; but then there is no end.
        let events = Conversation.events(.client, refusal.example.wire[...])
        #expect(!events.contains { if case .end = $0 { true } else { false } })
    }

    @Test(arguments: Examples.all) func `means the same in two parts, split at every byte`(example: Example) {
        // Long examples are long by repetition of one byte: a hundred places are enough.
        let whole = Conversation.events(example.sender, example.wire[...])
        let count = example.wire.count
        let step = count < 2000 ? 1 : count / 100
        for split in stride(from: 0, through: count, by: step) {
            let events = Conversation.events(example.sender, example.wire[..<split], example.wire[split...])
            guard events == whole else {
                Issue.record("split at \(split): \(events), whole: \(whole)")
                return
            }
        }
    }

    @Test(arguments: Examples.all) func `means the same one byte at a time`(example: Example) {
        let whole = Conversation.events(example.sender, example.wire[...])
        #expect(Conversation.eventsByteByByte(example.sender, example.wire) == whole)
    }

    @Test(arguments: Examples.accepted) func `cut short anywhere it is never complete`(example: Example) {
        let whole = Conversation.events(example.sender, example.wire[...])
        // A body that ends with its connection is as long as what came: nobody can know better.
        guard !Self.endsWithConnection(whole) else { return }
        for count in 1..<example.wire.count {
            let events = Conversation.events(example.sender, example.wire[..<count])
            // What was complete before the cut is as in the whole; the message that was cut has no end.
            let complete = Self.completed(events)
            guard complete == Array(whole.prefix(complete.count)), complete.count < whole.count else {
                Issue.record("cut at \(count): \(events)")
                return
            }
        }
    }

    private static func completed(_ events: [WireEvent]) -> [WireEvent] {
        let last = events.lastIndex { if case .end = $0 { true } else { false } }
        return last.map { Array(events[...$0]) } ?? []
    }

    private static func endsWithConnection(_ events: [WireEvent]) -> Bool {
        events.contains { if case .head(let text) = $0 { text.contains("untilClose") } else { false } }
    }
}
