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

    @Test func `without a total there is no pressure`() {
        let pressure = MemoryPressure()
        #expect(pressure.measured(residentBytes: .max) == .none)
        #expect(pressure.residentBytes == .max && pressure.excessBytes == 0)
    }
}
