import TestSupport
import Testing

@testable import Edge

@Suite struct KeyIndexTests {
    @Test(arguments: [UInt64(1), 2, 3]) func `agrees with a dictionary under random inserts and removals`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var index = KeyIndex()
        var model: [Int: UInt64] = [:]
        for step in 0..<4000 {
            if model.isEmpty || random.next() % 3 != 0 {
                // Few distinct low bits, so that chains grow long and wrap around.
                let hash = random.next() & 0x7
                index.insert(hash, record: step)
                model[step] = hash
            } else if let victim = model.keys.sorted().randomElement(using: &random), let hash = model.removeValue(forKey: victim)
            {
                index.remove(hash, record: victim)
            }
            #expect(index.count == model.count)
            if step % 100 == 0 {
                for (record, hash) in model { #expect(index.find(hash) { $0 == record } == record) }
            }
        }
    }

    @Test func `a removed record is not found, its neighbours are`() {
        var index = KeyIndex()
        for record in 0..<5 { index.insert(15, record: record) }
        index.remove(15, record: 2)
        #expect(index.find(15) { $0 == 2 } == nil)
        for record in [0, 1, 3, 4] { #expect(index.find(15) { $0 == record } == record) }
    }
}
