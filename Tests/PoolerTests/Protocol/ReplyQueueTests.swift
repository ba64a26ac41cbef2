import TestSupport
import Testing

@testable import Pooler

@Suite struct ReplyQueueTests {
    /// The queue counts; here it is searched.
    @Test func `what is undecided is what stands before the last Sync`() {
        for seed in 1...200 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var (queue, model): (ReplyQueue, [ReplyQueue.Entry]) = (.init(), [])
            for _ in 0..<200 {
                switch Int.random(in: 0..<8, using: &random) {
                case 0, 1, 2:
                    let kind = random.pick([ReplyQueue.Kind.parse, .parseUnseen, .closeUnseen, .closeOutdated, .bind, .parseAnswered])
                    let entry = ReplyQueue.Entry(kind: kind, statement: Int.random(in: 0...3, using: &random))
                    queue.append(entry.kind, statement: entry.statement)
                    model.append(entry)
                case 3, 4:
                    queue.append(.sync)
                    model.append(.init(kind: .sync))
                case 5 where random.chance(oneIn: 4) && !model.isEmpty:
                    let isEnded = queue.copyInBegan()
                    let end = model.dropFirst().firstIndex { $0.kind != .sync && $0.kind != .parseAnswered }
                    #expect(isEnded == (end != nil))
                    model = model.prefix(1) + model[1..<(end ?? model.count)].filter { $0.kind != .sync } + model[(end ?? model.count)...]
                default:
                    guard !model.isEmpty else { break }
                    queue.removeFirst()
                    model.removeFirst()
                }
                #expect(Array(queue.all) == model, "seed \(seed)")
                let synced = model.prefix(model.lastIndex { $0.kind == .sync } ?? 0).filter(\.changesStatements)
                #expect(queue.isUndecided(nil) == !synced.isEmpty, "seed \(seed)")
                for statement in 1...3 {
                    let isAny = model.count > ReplyQueue.searchedMax
                    #expect(queue.isUndecided(statement) == synced.contains { isAny || $0.statement == statement }, "seed \(seed)")
                }
                #expect(queue.parsesUnnamed == model.contains(.init(kind: .parse)), "seed \(seed)")
            }
        }
    }
}
