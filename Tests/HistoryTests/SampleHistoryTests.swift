import Foundation
import TestSupport
import Testing

@testable import History

@Suite struct SampleHistoryTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "samples-\(UUID().uuidString)")
    private var path: String { folder.appending(path: "samples.sqlite").path }

    private func sample(_ time: Int64, _ values: [Double], _ buckets: [(UInt16, UInt64)] = [], seconds: Int = 1) -> Sample {
        var distribution = Distribution()
        for (place, count) in buckets { distribution.append(place: place, count: count) }
        return Sample(time: time, seconds: seconds, values: values, distributions: [distribution])
    }

    @Test func `samples come back as they were, unmeasured ones too`() throws {
        let history = try SampleHistory(path: nil, values: ["a", "b"], distributions: ["t"])
        try history.add([(.second, sample(100, [1.5, .nan], [(3, 7), (900, 1)])), (.second, sample(101, [0, -2]))], now: 101)
        let read = try history.samples(.second, 0..<1000)
        #expect(read.map(\.time) == [100, 101])
        #expect(read[0].values[0] == 1.5 && read[0].values[1].isNaN)
        #expect(read[0].distributions == sample(0, [], [(3, 7), (900, 1)]).distributions)
        #expect(read[1].values == [0, -2])
        #expect(try history.samples(.minute, 0..<1000).isEmpty)
    }

    @Test func `each tier keeps its time and no more`() throws {
        let history = try SampleHistory(path: nil, values: ["a"], distributions: ["t"])
        let now: Int64 = 2_000_000
        for tier in SampleTier.allCases {
            let edge = now - tier.keptSeconds
            try history.add([(tier, sample(edge - 1, [1])), (tier, sample(edge, [2]))], now: now)
            #expect(try history.samples(tier, 0..<now).map(\.time) == [edge])
        }
        try history.add([], markers: (0..<1200).map { Marker(time: $0, kind: "reload", text: "") }, now: now)
        #expect(try history.markers(0..<now).count == SampleHistory.markersMax)
    }

    @Test func `another program's series are matched by name`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let old = try SampleHistory(path: path, values: ["gone", "a"], distributions: ["t"])
            try old.add([(.second, sample(100, [9, 1], [(3, 7)]))], now: 100)
        }
        let new = try SampleHistory(path: path, values: ["a", "new"], distributions: ["other", "t"])
        let read = try #require(try new.samples(.second, 0..<1000).first)
        #expect(read.values[0] == 1 && read.values[1].isNaN)
        #expect(read.distributions[0].places.isEmpty && read.distributions[1].places == [3])
    }

    @Test(.enabled(if: Command.find("sqlite3") != nil, "sqlite3 is not installed: run scripts/setup"))
    func `a file of a newer program is refused by writer and reader and left as it was, one without tables gets them`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        func open() throws -> SampleHistory { try SampleHistory(path: path, values: ["a"], distributions: ["t"]) }
        func sql(_ text: String) throws { #expect(try Command.run("sqlite3", [path, text]).status == 0) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try sql("PRAGMA user_version = 0; VACUUM")
        do { try open().add([(.second, sample(100, [1]))], now: 100) }
        try sql("INSERT INTO grdb_migrations VALUES ('what comes after samples')")
        #expect(throws: SampleHistory.Unusable.self) { try open() }
        #expect(throws: SampleHistory.Unusable.self) { try SampleHistory(reading: path, values: ["a"], distributions: ["t"]) }
        try sql("DELETE FROM grdb_migrations WHERE identifier = 'what comes after samples'")
        #expect(try open().samples(.second, 0..<1000).map(\.time) == [100])
    }

    @Test func `fifteen days of samples as large as they get under load have their bound`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let count: Int64 = 1000
        do {
            let history = try SampleHistory(path: path, values: (0..<80).map { "series_\($0)" }, distributions: ["t"])
            let values = (0..<80).map { Double($0) * 1.1 }
            let buckets = (0..<120).map { (UInt16(100 + $0), UInt64(1 + $0)) }
            for start in stride(from: 0, to: count, by: 10) {
                try history.add((start..<start + 10).map { (.second, sample($0, values, buckets)) }, now: start + 10)
            }
        }
        // Its last connection has put the log into the file.
        let bytes = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        let all = SampleTier.allCases.reduce(0) { $0 + Int($1.keptSeconds) / $1.seconds }
        #expect(all == 33_840)
        #expect(bytes / Int(count) * all < 70 << 20, "\(bytes) for \(count)")
    }

    @Test func `two writers are one too many`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let first = try SampleHistory(path: path, values: ["a"], distributions: [])
        #expect(throws: SampleHistory.Unusable.self) { try SampleHistory(path: path, values: ["a"], distributions: []) }
        withExtendedLifetime(first) {}
    }

    @Test func `distributions merge by place`() {
        var left = sample(0, [], [(1, 1), (3, 3)]).distributions[0]
        left.merge(sample(0, [], [(2, 2), (3, 4), (9, 9)]).distributions[0])
        #expect(left.places == [1, 2, 3, 9] && left.counts == [1, 2, 7, 9])
        #expect(left.total == 19)
    }
}
