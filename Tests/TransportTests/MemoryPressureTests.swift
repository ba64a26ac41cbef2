import Synchronization
import Testing
import Transport

@Suite struct MemoryPressureTests {
    @Test func `classes of work are given up one after the other, and taken up again lower down`() {
        let pressure = MemoryPressure(bytesMax: 1000)
        let course: [(Int, MemoryPressure.Level)] = [
            (0, .none), (799, .none), (800, .connections), (770, .connections), (759, .none), (870, .requests), (831, .requests), (829, .connections),
            (920, .exchanges), (2000, .exchanges), (881, .exchanges), (879, .requests), (100, .none),
        ]
        for (bytes, level) in course { #expect(pressure.measured(residentBytes: bytes) == level && pressure.level == level, "\(bytes)") }
        #expect(pressure.riseCount == 3)
    }

    @Test func `what may be filled for long keeps no class of work given up`() {
        let pressure = MemoryPressure(bytesMax: 1_000_000)
        pressure.measured(residentBytes: 1_000_000)
        #expect(pressure.measured(residentBytes: Int(MemoryPressure.restShare * 1_000_000) - 1) == .none)
        pressure.measured(residentBytes: 1_000_000)
        #expect(pressure.measured(residentBytes: Int(MemoryPressure.restShare * 1_000_000) + 1) == .connections)
    }

    @Test func `what has to go is what is above the level at which nothing is cut`() {
        let pressure = MemoryPressure(bytesMax: 1000)
        for (bytes, excess) in [(900, 0), (920, 40), (1000, 120), (881, 1), (870, 0)] {
            pressure.measured(residentBytes: bytes)
            #expect(pressure.excessBytes == excess, "\(bytes)")
        }
    }

    @Test func `of several processes each gives up its own part`() {
        let pressure = MemoryPressure(bytesMax: 1000)
        pressure.measured(residentBytes: 1000, ownBytes: 250)
        #expect(pressure.excessBytes == 30)
    }

    @Test func `loops give up in proportion to what they hold, and who holds most goes first`() {
        let pressure = MemoryPressure(bytesMax: 1000)
        let asked = Atomic(0)
        let (small, large) = (pressure.join { asked.add(1, ordering: .relaxed) }, pressure.join { asked.add(1, ordering: .relaxed) })
        var cut: [Int] = []
        func gone(_ bytes: Int) -> Int {
            cut.append(bytes)
            pressure.cut(bytes)
            return bytes
        }
        let (few, many) = ([10, 0, 20], [20, 50, 40, 0, 100, 60])
        func review() {
            small.review(few, bytes: { $0 }, cut: gone)
            large.review(many, bytes: { $0 }, cut: gone)
        }
        pressure.measured(residentBytes: 910)
        review()
        pressure.review()
        #expect(cut == [] && asked.load(ordering: .relaxed) == 2)
        // 80 are too many, and 300 are held: 8 of 30, 72 of 270.
        pressure.measured(residentBytes: 960)
        small.review(few, bytes: { $0 }, cut: gone)
        #expect(cut == [20])
        #expect(pressure.hasCut && pressure.excessBytes == 60)
        large.review(many, bytes: { $0 }, cut: gone)
        #expect(cut == [20, 100])
        // Until the allocator has given it back, what was cut is gone.
        review()
        #expect(cut == [20, 100] && pressure.excessBytes == 0)
        pressure.trimmed()
        #expect(!pressure.hasCut && pressure.excessBytes == 80)
        large.leave()
        pressure.review()
        #expect(asked.load(ordering: .relaxed) == 3)
    }

    @Test func `who keeps more has it measured anew, once there is enough of it`() {
        let pressure = MemoryPressure(bytesMax: 128_000)
        let count = Atomic(0)
        pressure.measure {
            count.add(1, ordering: .relaxed)
            pressure.measured(residentBytes: 120_000)
        }
        pressure.grew(by: 900)
        pressure.grew(by: 100)
        #expect(count.load(ordering: .relaxed) == 0 && pressure.level == .none)
        pressure.grew(by: 1)
        #expect(count.load(ordering: .relaxed) == 1 && pressure.level == .exchanges)
        pressure.grew(by: 1000)
        #expect(count.load(ordering: .relaxed) == 1)
    }

    @Test func `without a total there is no pressure`() {
        let pressure = MemoryPressure()
        #expect(pressure.measured(residentBytes: .max) == .none)
        #expect(pressure.residentBytes == .max && pressure.excessBytes == 0 && pressure.roomBytes == .max)
    }
}
