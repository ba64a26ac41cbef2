import Foundation
import GRDB

/// The numbers of one stretch of time. What each place means is its writer's affair: History knows names only.
public struct Sample: Sendable, Equatable {
    /// Seconds since 1970 at which the stretch begins.
    public var time: Int64
    /// Its length.
    public var seconds: Int
    /// NaN where nothing was measured.
    public var values: [Double]
    public var distributions: [Distribution]

    public init(time: Int64, seconds: Int, values: [Double], distributions: [Distribution]) {
        self.time = time
        self.seconds = seconds
        self.values = values
        self.distributions = distributions
    }
}

/// How often each of a row of buckets was counted; only those that were.
public struct Distribution: Sendable, Equatable {
    /// Rising.
    public private(set) var places: [UInt16] = []
    public private(set) var counts: [UInt64] = []

    public init() {}

    /// - Precondition: places rise.
    public mutating func append(place: UInt16, count: UInt64) {
        precondition(places.last.map { $0 < place } ?? true, "places rise")
        guard count > 0 else { return }
        places.append(place)
        counts.append(count)
    }

    public var total: UInt64 { counts.reduce(0, &+) }

    public mutating func merge(_ other: Distribution) {
        guard !other.places.isEmpty else { return }
        guard !places.isEmpty else {
            self = other
            return
        }
        var merged = Distribution()
        var (left, right) = (0, 0)
        while left < places.count || right < other.places.count {
            if right == other.places.count || left < places.count && places[left] < other.places[right] {
                merged.append(place: places[left], count: counts[left])
                left += 1
            } else if left == places.count || other.places[right] < places[left] {
                merged.append(place: other.places[right], count: other.counts[right])
                right += 1
            } else {
                merged.append(place: places[left], count: counts[left] &+ other.counts[right])
                (left, right) = (left + 1, right + 1)
            }
        }
        self = merged
    }
}

/// How finely samples are kept, and for how long.
public enum SampleTier: Int, Sendable, CaseIterable {
    case second = 1
    case tenSeconds = 10
    case minute = 60

    /// Seconds of one sample.
    public var seconds: Int { rawValue }

    /// 1 s for an hour, 10 s for a day, a minute for 15 days: 3,600, 8,640 and 21,600 samples.
    public var keptSeconds: Int64 {
        switch self {
        case .second: 3600
        case .tenSeconds: 86_400
        case .minute: 15 * 86_400
        }
    }
}

/// Something that happened at a moment, to be seen beside the numbers.
public struct Marker: Sendable, Equatable {
    /// Seconds since 1970.
    public var time: Int64
    /// `start`, `reload`.
    public var kind: String
    public var text: String

    public init(time: Int64, kind: String, text: String) {
        self.time = time
        self.kind = kind
        self.text = text
    }
}

/// Samples by the second, by ten and by the minute, and markers: SQLite, in a file of one writer or in memory. Bounded by
/// ``SampleTier/keptSeconds``: some 60 MB after 15 days.
///
/// A kill at any moment loses what was not handed over yet (SQLite's write-ahead log). Series are stored by name, so that a program
/// with other series than the writer's finds those that both know. A file of a newer program is refused, one of an older is brought up to date.
public final class SampleHistory: Sendable {
    public typealias Unusable = RunHistory.Unusable

    /// Older ones go.
    public static let markersMax = 1000

    private let database: any DatabaseWriter
    private let lock: SampleFileLock?
    /// The names' numbers in this file, by place.
    private let valueIDs: [UInt16]
    private let distributionIDs: [UInt16]
    private let placeOfValue: [UInt16: Int]
    private let placeOfDistribution: [UInt16: Int]

    /// - Parameters:
    ///   - path: `nil` for one in memory.
    ///   - values: the names of ``Sample/values``, in their order.
    ///   - distributions: those of ``Sample/distributions``.
    /// - Throws: ``Unusable``: another process writes there, it was written by a newer program, it cannot be written.
    public init(path: String?, values: [String], distributions: [String]) throws(Unusable) {
        do {
            if let path {
                let folder = URL(filePath: path).deletingLastPathComponent()
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                lock = try SampleFileLock(path + ".lock")
                var configuration = Configuration()
                configuration.busyMode = .timeout(5)
                // A commit a second would be an fsync a second: the log is enough against a kill, if not against a power failure.
                // A sample has 0.9 to 1.6 KB, and what is longer than a quarter of a page gets a page of its own: with SQLite's 4 KB the file
                // came to 145 MB. A file that is there keeps the pages that it has.
                configuration.prepareDatabase { try $0.execute(sql: "PRAGMA page_size = 16384; PRAGMA synchronous = NORMAL") }
                database = try DatabasePool(path: path, configuration: configuration)
            } else {
                lock = nil
                database = try DatabaseQueue()
            }
            let migrator = Self.migrator
            guard try database.read({ try !migrator.hasBeenSuperseded($0) }) else {
                throw Unusable(description: "it was written by a newer headrace")
            }
            try migrator.migrate(database)
            (valueIDs, distributionIDs) = try database.write { database in
                (try Self.number(values, database), try Self.number(distributions, database))
            }
            placeOfValue = Dictionary(uniqueKeysWithValues: valueIDs.enumerated().map { ($1, $0) })
            placeOfDistribution = Dictionary(uniqueKeysWithValues: distributionIDs.enumerated().map { ($1, $0) })
        } catch {
            throw Unusable(description: "\(path ?? "samples in memory"): \(RunHistory.reason(error))")
        }
    }

    /// To read what a process keeps there, which may go on writing; nothing is changed.
    /// - Throws: ``Unusable``: there is no such file, it was written by a newer program or never by one of ours.
    public init(reading path: String, values: [String], distributions: [String]) throws(Unusable) {
        lock = nil
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            database = try DatabasePool(path: path, configuration: configuration)
            let migrator = Self.migrator
            guard try database.read({ try !migrator.hasBeenSuperseded($0) && migrator.hasCompletedMigrations($0) }) else {
                throw Unusable(description: "it was written by another version of headrace")
            }
            let known = try database.read { database in
                try Row.fetchAll(database, sql: "SELECT id, name FROM seriesName").map { ($0["name"] as String, UInt16(clamping: $0["id"] as Int64)) }
            }
            let numbers = Dictionary(known) { first, _ in first }
            // 0 is nobody's number.
            (valueIDs, distributionIDs) = (values.map { numbers[$0] ?? 0 }, distributions.map { numbers[$0] ?? 0 })
            func places(_ ids: [UInt16]) -> [UInt16: Int] { Dictionary(ids.enumerated().filter { $1 > 0 }.map { ($1, $0) }) { first, _ in first } }
            (placeOfValue, placeOfDistribution) = (places(valueIDs), places(distributionIDs))
        } catch {
            throw Unusable(description: "\(path): \(RunHistory.reason(error))")
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("samples") { database in
            try database.create(table: "seriesName") { table in
                table.autoIncrementedPrimaryKey("id")
                table.column("name", .text).notNull().unique()
            }
            try database.execute(
                sql: """
                    CREATE TABLE sample (tier INTEGER NOT NULL, time INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (tier, time)) WITHOUT ROWID
                    """)
            try database.create(table: "marker") { table in
                table.autoIncrementedPrimaryKey("id")
                table.column("time", .integer).notNull()
                table.column("kind", .text).notNull()
                table.column("text", .text).notNull()
            }
        }
        return migrator
    }

    private static func number(_ names: [String], _ database: Database) throws -> [UInt16] {
        try names.map { name in
            try database.execute(sql: "INSERT OR IGNORE INTO seriesName (name) VALUES (?)", arguments: [name])
            let id = try Int64.fetchOne(database, sql: "SELECT id FROM seriesName WHERE name = ?", arguments: [name]) ?? 0
            guard let short = UInt16(exactly: id) else { throw Unusable(description: "it has more than 65,535 series") }
            return short
        }
    }

    /// Keeps samples and markers, and drops what is older than its tier keeps, in one transaction.
    /// - Parameter now: seconds since 1970.
    public func add(_ samples: [(tier: SampleTier, sample: Sample)], markers: [Marker] = [], now: Int64) throws(Unusable) {
        do {
            try database.write { database in
                let insert = try database.makeStatement(sql: "INSERT OR REPLACE INTO sample (tier, time, content) VALUES (?, ?, ?)")
                for (tier, sample) in samples { try insert.execute(arguments: [tier.rawValue, sample.time, encoded(sample)]) }
                for tier in SampleTier.allCases {
                    try database.execute(
                        sql: "DELETE FROM sample WHERE tier = ? AND time < ?", arguments: [tier.rawValue, now - tier.keptSeconds])
                }
                for marker in markers {
                    try database.execute(
                        sql: "INSERT INTO marker (time, kind, text) VALUES (?, ?, ?)", arguments: [marker.time, marker.kind, marker.text])
                }
                if !markers.isEmpty {
                    try database.execute(
                        sql: "DELETE FROM marker WHERE id <= (SELECT max(id) FROM marker) - ?", arguments: [Self.markersMax])
                }
            }
        } catch {
            throw Unusable(description: RunHistory.reason(error))
        }
    }

    /// Those that begin in a stretch of time, the oldest first.
    /// - Parameter times: seconds since 1970.
    public func samples(_ tier: SampleTier, _ times: Range<Int64>) throws(Unusable) -> [Sample] {
        do {
            return try database.read { database in
                let rows = try Row.fetchCursor(
                    database, sql: "SELECT time, content FROM sample WHERE tier = ? AND time >= ? AND time < ? ORDER BY time",
                    arguments: [tier.rawValue, times.lowerBound, times.upperBound])
                var samples: [Sample] = []
                while let row = try rows.next() {
                    if let sample = decoded(row["content"], time: row["time"], seconds: tier.seconds) { samples.append(sample) }
                }
                return samples
            }
        } catch {
            throw Unusable(description: RunHistory.reason(error))
        }
    }

    /// - Parameter times: seconds since 1970.
    public func markers(_ times: Range<Int64>) throws(Unusable) -> [Marker] {
        do {
            return try database.read { database in
                try Row.fetchAll(
                    database, sql: "SELECT time, kind, text FROM marker WHERE time >= ? AND time < ? ORDER BY id",
                    arguments: [times.lowerBound, times.upperBound]
                ).map { Marker(time: $0["time"], kind: $0["kind"], text: $0["text"]) }
            }
        } catch {
            throw Unusable(description: RunHistory.reason(error))
        }
    }

    // MARK: Content

    // A sample as bytes, little-endian: how many values (2 bytes), each a name's number (2) and a double (8); then for each
    // distribution that has any count its name's number (2), how many buckets (2), each a place (2) and a count (4).

    private func encoded(_ sample: Sample) -> Data {
        var bytes: [UInt8] = []
        func put<Number: FixedWidthInteger>(_ number: Number) { withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) } }
        let measured = sample.values.indices.filter { $0 < valueIDs.count && !sample.values[$0].isNaN }
        bytes.reserveCapacity(2 + 10 * measured.count)
        put(UInt16(measured.count))
        for place in measured {
            put(valueIDs[place])
            put(sample.values[place].bitPattern)
        }
        for (place, distribution) in sample.distributions.enumerated() where place < distributionIDs.count && !distribution.places.isEmpty {
            put(distributionIDs[place])
            put(UInt16(clamping: distribution.places.count))
            for (bucket, count) in zip(distribution.places, distribution.counts) {
                put(bucket)
                put(UInt32(clamping: count))
            }
        }
        return Data(bytes)
    }

    /// - Returns: `nil` for bytes that no program of ours wrote.
    private func decoded(_ data: Data, time: Int64, seconds: Int) -> Sample? {
        let bytes = [UInt8](data)
        var offset = 0
        func take<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
            let width = MemoryLayout<Number>.size
            guard offset + width <= bytes.count else { return nil }
            var number: Number = 0
            for index in (0..<width).reversed() { number = number << 8 | Number(truncatingIfNeeded: bytes[offset + index]) }
            offset += width
            return number
        }
        var sample = Sample(
            time: time, seconds: seconds, values: Array(repeating: .nan, count: valueIDs.count),
            distributions: Array(repeating: Distribution(), count: distributionIDs.count))
        guard let count = take(UInt16.self) else { return nil }
        for _ in 0..<count {
            guard let id = take(UInt16.self), let bits = take(UInt64.self) else { return nil }
            if let place = placeOfValue[id] { sample.values[place] = Double(bitPattern: bits) }
        }
        while offset < bytes.count {
            guard let id = take(UInt16.self), let buckets = take(UInt16.self) else { return nil }
            var distribution = Distribution()
            for _ in 0..<buckets {
                guard let bucket = take(UInt16.self), let number = take(UInt32.self) else { return nil }
                guard distribution.places.last.map({ $0 < bucket }) ?? true else { return nil }
                distribution.append(place: bucket, count: UInt64(number))
            }
            if let place = placeOfDistribution[id] { sample.distributions[place] = distribution }
        }
        return sample
    }
}

/// Held as long as a file of samples is open: two writers would mix two processes' numbers.
private final class SampleFileLock: Sendable {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw RunHistory.Unusable(description: String(cString: strerror(errno))) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw RunHistory.Unusable(description: "another process keeps its samples there")
        }
    }

    deinit {
        // Closed alone, it would be held as long as a child that was started at this moment has not become its program.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
