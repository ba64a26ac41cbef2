import Foundation
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Keyspace

/// A folder that goes away with it.
final class Folder {
    let url = FileManager.default.temporaryDirectory.appending(path: "log-\(UUID().uuidString.prefix(8))")
    var path: String { url.path }

    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: url) }

    /// What a crash at this instant would leave.
    func copy() throws -> Folder {
        let copy = try Folder()
        for name in try names() { try FileManager.default.copyItem(at: url.appending(path: name), to: copy.url.appending(path: name)) }
        return copy
    }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    func copy(_ name: String, to other: Folder) throws {
        let target = other.url.appending(path: name)
        try? FileManager.default.removeItem(at: target)
        try FileManager.default.copyItem(at: url.appending(path: name), to: target)
    }
}

/// Counters: the smallest keyspace in which a command that is replayed twice, or not at all, shows.
private struct Counters: Equatable {
    var values: [Int: Int] = [:]

    static func command(_ counter: Int) -> [[UInt8]] { [octets("INCR"), octets("\(counter)")] }

    mutating func apply(_ words: [[UInt8]]) { values[Int(String(decoding: words[1], as: UTF8.self)) ?? -1, default: 0] += 1 }

    var base: [UInt8] {
        SnapshotSamples.file(values.sorted { $0.key < $1.key }.map { SnapshotEntry(key: octets("\($0.key)"), value: .string(octets("\($0.value)"))) })
    }
}

/// Opens the log of a folder, and what it holds.
private func open(_ folder: Folder, cutsTornTail: Bool = true) throws -> (Counters, AppendLogDirectory.Recovery) {
    var counters = Counters()
    var recovery = AppendLogDirectory.Recovery()
    _ = try openDirectory(folder, cutsTornTail: cutsTornTail, &counters, &recovery)
    return (counters, recovery)
}

private func openDirectory(
    _ folder: Folder, cutsTornTail: Bool = true, _ counters: inout Counters, _ recovery: inout AppendLogDirectory.Recovery
) throws(AppendLogDirectory.Refusal) -> AppendLogDirectory {
    let found = Mutex(Counters())
    let directory = try AppendLogDirectory(
        directory: folder.path, prefix: "appendonly.aof", cutsTornTail: cutsTornTail, now: 0,
        into: AppendLogDirectory.Target(
            base: .init { entry in
                guard case .string(let text) = entry.value else { return "no counter" }
                found.withLock { $0.values[Int(String(decoding: entry.key, as: UTF8.self)) ?? -1] = Int(String(decoding: text, as: UTF8.self)) }
                return nil
            },
            commands: { commands in
                for command in commands {
                    guard command.words[0] == octets("INCR") else { return "unknown command" }
                    found.withLock { $0.apply(command.words) }
                }
                return nil
            }),
        recovery: &recovery)
    counters = found.withLock { $0 }
    return directory
}

@Suite struct AppendLogDirectoryTests {
    /// How it works: a seed chooses what happens: commands, a rewrite's beginning, its end. After each step the folder is
    /// copied as a crash would leave it, with the last increment cut at any byte that is not synced; what is recovered must be what the
    /// model had at some command between the last sync and now. The states within a rewrite's last step are made by hand.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `a crash at any step loses nothing that was synced`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let folder = try Folder()
        var model = Counters()
        var recovery = AppendLogDirectory.Recovery()
        var directory = try openDirectory(folder, &model, &recovery)
        var log = AppendLog()
        /// The model after each command that is not synced, and at the last sync.
        var states = [model]
        var syncedByteCount = 0
        var base: [UInt8]?
        for _ in 0..<40 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1:
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    let command = Counters.command(Int.random(in: 0..<4, using: &random))
                    model.apply(command)
                    log.append(command, database: 0)
                    states.append(model)
                }
                try directory.append(log.takeBatch().before)
            case 2:
                try directory.sync()
                states = [model]
                syncedByteCount = directory.incrementByteCount
            case 3 where base == nil:
                base = model.base
                log.beginFile()
                #expect(log.takeBatch().beginsFile)
                try directory.beginIncrement()
                states = [model]
                syncedByteCount = 0
            default:
                guard let bytes = base else { continue }
                base = nil
                var file = try DiskFile(path: directory.temporaryBasePath, isNew: true)
                try file.append(bytes)
                try file.sync()
                let before = try folder.copy()
                try directory.finishRewrite()
                let after = try folder.copy()
                // The base has its name, the manifest is the old one.
                let renamed = try before.copy()
                for name in try after.names() where name.hasSuffix(".base.rdb") { try after.copy(name, to: renamed) }
                #expect(try open(renamed).0 == model)
                // The manifest is the new one, nothing was removed yet.
                let listed = try before.copy()
                for name in try after.names() { try after.copy(name, to: listed) }
                #expect(try open(listed).0 == model)
            }
            let crashed = try folder.copy()
            let last = crashed.url.appending(path: try #require(directory.manifest.increments.last).name)
            let length = directory.incrementByteCount
            let cut = Int.random(in: syncedByteCount...length, using: &random)
            #expect(truncate(last.path, cut) == 0)
            let (found, recovery) = try open(crashed)
            #expect(states.contains(found), "seed \(seed)")
            if cut == length { #expect(found == model && recovery.cutByteCount == 0, "seed \(seed)") }
            // What was cut is gone: opened again there is nothing to cut.
            #expect(try open(crashed) == (found, AppendLogDirectory.Recovery(entryCount: recovery.entryCount, commandCount: recovery.commandCount)))
        }
    }

    /// A log with two commands in its first increment and one in its second.
    private func twoIncrements() throws -> Folder {
        let folder = try Folder()
        var counters = Counters()
        var recovery = AppendLogDirectory.Recovery()
        var directory = try openDirectory(folder, &counters, &recovery)
        var log = AppendLog()
        log.append(Counters.command(1), database: 0)
        log.append(Counters.command(2), database: 0)
        try directory.append(log.takeBatch().before)
        try directory.beginIncrement()
        log.append(Counters.command(3), database: 0)
        try directory.append(log.takeBatch().before)
        return folder
    }

    @Test func `a torn tail is refused where the operator says so, and in every file but the last`() throws {
        let torn = try twoIncrements()
        let last = torn.url.appending(path: "appendonly.aof.2.incr.aof")
        let count = try Data(contentsOf: last).count
        #expect(truncate(last.path, off_t(count - 3)) == 0)
        #expect(throws: AppendLogDirectory.Refusal.self) { try open(torn, cutsTornTail: false) }
        #expect(try open(torn).1.cutByteCount > 0)

        let first = try twoIncrements()
        let path = first.url.appending(path: "appendonly.aof.1.incr.aof").path
        #expect(truncate(path, off_t(30)) == 0)
        #expect {
            try open(first)
        } throws: { error in
            if case .tornBeforeTheLast(let file, _) = error as? AppendLogDirectory.Refusal { file.hasSuffix(".1.incr.aof") } else { false }
        }
    }

    @Test func `a damaged middle is refused with the offset, and nothing is changed`() throws {
        let folder = try twoIncrements()
        let url = folder.url.appending(path: "appendonly.aof.2.incr.aof")
        var bytes = try Array(Data(contentsOf: url))
        bytes[0] = UInt8(ascii: "x")
        try Data(bytes).write(to: url)
        let error = #expect(throws: AppendLogDirectory.Refusal.self) { try open(folder) }
        #expect(error == .commands(file: url.path, AppendLogReader.Damage(offset: 0, reason: .commandExpected)))
        #expect(try Array(Data(contentsOf: url)) == bytes)
    }

    @Test func `a file that the manifest names and that is gone is refused`() throws {
        let folder = try twoIncrements()
        try FileManager.default.removeItem(at: folder.url.appending(path: "appendonly.aof.1.incr.aof"))
        #expect(throws: AppendLogDirectory.Refusal.self) { try open(folder) }
    }

    @Test func `the writer's commands are on disk when it says so, also across a rewrite`() throws {
        let folder = try Folder()
        var counters = Counters()
        var recovery = AppendLogDirectory.Recovery()
        let writer = AppendLogWriter(try openDirectory(folder, &counters, &recovery), policy: .always) { _ in }
        func append(_ counter: Int) -> UInt64 {
            counters.apply(Counters.command(counter))
            return writer.append(Counters.command(counter), database: 0)
        }
        func waitUntilSafe(_ count: UInt64) {
            let safe = DispatchSemaphore(value: 0)
            writer.whenSafe(count) { isSafe in
                #expect(isSafe)
                safe.signal()
            }
            #expect(safe.wait(timeout: .now() + 20) == .success)
        }
        for counter in 0..<100 { _ = append(counter % 7) }
        waitUntilSafe(append(1))
        #expect(try open(folder.copy()).0 == counters)
        #expect(writer.beginRewrite() && !writer.beginRewrite())
        var base = try DiskFile(path: writer.temporaryBasePath, isNew: true)
        try base.append(counters.base)
        for counter in 0..<10 { _ = append(counter) }
        let done = DispatchSemaphore(value: 0)
        writer.finishRewrite(nil) { failure in
            #expect(failure == nil)
            done.signal()
        }
        #expect(done.wait(timeout: .now() + 20) == .success)
        waitUntilSafe(append(2))
        #expect(try open(folder.copy()).0 == counters)
        #expect(try folder.names() == ["appendonly.aof.1.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"])
        writer.close()
        #expect(try open(folder).0 == counters && !writer.isRewriting)
    }

    /// A log whose increments take nothing: they are /dev/full.
    private func fullDisk(_ increments: ClosedRange<Int>) throws -> Folder {
        let folder = try Folder()
        for number in increments {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder.path)/appendonly.aof.\(number).incr.aof", withDestinationPath: "/dev/full")
        }
        try Data("file appendonly.aof.1.incr.aof seq 1 type i\n".utf8).write(to: folder.url.appending(path: "appendonly.aof.manifest"))
        return folder
    }

    private final class Healths: Sendable {
        let seen = Mutex<[AppendLogWriter.Health]>([])
        var isBroken: Bool { if case .broken = seen.withLock({ $0.last }) { true } else { false } }
    }

    /// Of a folder in which nothing is logged.
    private func openWriter(_ folder: Folder, policy: FsyncPolicy, pendingBytesMax: Int = 64 << 20) throws -> (AppendLogWriter, Healths) {
        var counters = Counters()
        var recovery = AppendLogDirectory.Recovery()
        let healths = Healths()
        let writer = AppendLogWriter(try openDirectory(folder, &counters, &recovery), policy: policy, pendingBytesMax: pendingBytesMax) { health in
            healths.seen.withLock { $0.append(health) }
        }
        return (writer, healths)
    }

    /// Until nothing is waited for: with a disk that takes nothing and no room in memory.
    private func breakLog(_ writer: AppendLogWriter, _ healths: Healths) {
        #expect(eventually {
            _ = writer.append(Counters.command(1), database: 0)
            return healths.isBroken
        })
    }

    @Test func `a log with a gap stays broken until a rewrite has mended it`() throws {
        let folder = try fullDisk(1...1)
        var counters = Counters()
        let (writer, healths) = try openWriter(folder, policy: .everysec, pendingBytesMax: 200)
        breakLog(writer, healths)
        // Neither what is appended, nor what had been asked for before, mends it.
        for _ in 0..<20 {
            for counter in 0..<20 { _ = writer.append(Counters.command(counter), database: 0) }
            writer.tick()
            usleep(2000)
        }
        #expect(healths.isBroken && writer.droppedByteCount > 0)
        // Under always nobody waits for what is never written.
        writer.setPolicy(.always)
        #expect(writer.refusal()?.hasPrefix("MISCONF") == true)
        let isSafe = Mutex<Bool?>(nil)
        writer.whenSafe(writer.append(Counters.command(1), database: 0)) { safe in isSafe.withLock { $0 = safe } }
        #expect(isSafe.withLock { $0 } == false)
        writer.setPolicy(.everysec)

        #expect(writer.beginRewrite())
        var base = try DiskFile(path: writer.temporaryBasePath, isNew: true)
        try base.append(counters.base)
        counters.apply(Counters.command(3))
        _ = writer.append(Counters.command(3), database: 0)
        let failure = Mutex<SnapshotFailure??>(nil)
        writer.finishRewrite(nil) { result in failure.withLock { $0 = .some(result) } }
        #expect(eventually { failure.withLock { $0 != nil } })
        #expect(failure.withLock { $0 } == .some(nil) && writer.health == .good && writer.droppedByteCount == 0)
        writer.close()
        #expect(try open(folder).0 == counters)
    }

    @Test func `who asks after the disk has refused is told so, and waits for no further attempt`() throws {
        let (writer, healths) = try openWriter(fullDisk(1...1), policy: .always)
        let count = writer.append(Counters.command(1), database: 0)
        #expect(eventually { healths.seen.withLock { !$0.isEmpty } })
        let isSafe = Mutex<Bool?>(nil)
        writer.whenSafe(count) { safe in isSafe.withLock { $0 = safe } }
        // The next attempt comes with a tick, and nothing ticks here.
        #expect(isSafe.withLock { $0 } == false)
        writer.close()
    }

    @Test func `under always nothing behind a gap is safe before the rewrite has mended it`() throws {
        let folder = try fullDisk(1...1)
        var counters = Counters()
        let (writer, healths) = try openWriter(folder, policy: .everysec, pendingBytesMax: 200)
        breakLog(writer, healths)
        #expect(writer.beginRewrite())
        let base = counters.base
        // The disk takes the new increment; nothing names that as long as there is no base.
        counters.apply(Counters.command(1))
        let count = writer.append(Counters.command(1), database: 0)
        #expect(eventually { writer.health == .good })
        writer.setPolicy(.always)
        #expect(writer.refusal()?.hasPrefix("MISCONF") == true)
        counters.apply(Counters.command(2))
        let isSafe = Mutex<Bool?>(nil)
        for count in [count, writer.append(Counters.command(2), database: 0)] {
            writer.whenSafe(count) { safe in isSafe.withLock { $0 = safe } }
            #expect(isSafe.withLock { $0 } == false)
        }
        var file = try DiskFile(path: writer.temporaryBasePath, isNew: true)
        try file.append(base)
        let isDone = Mutex(false)
        writer.finishRewrite(nil) { failure in isDone.withLock { $0 = failure == nil } }
        #expect(eventually { isDone.withLock { $0 } })
        #expect(writer.refusal() == nil)
        writer.whenSafe(count) { safe in isSafe.withLock { $0 = safe } }
        #expect(isSafe.withLock { $0 } == true)
        writer.close()
        #expect(try open(folder).0 == counters)
    }

    @Test func `what was appended while a rewrite failed is not written behind the gap`() throws {
        let folder = try fullDisk(1...1)
        var counters = Counters()
        let (writer, healths) = try openWriter(folder, policy: .everysec, pendingBytesMax: 200)
        breakLog(writer, healths)
        let isOver = Mutex(false)
        #expect(writer.beginRewrite())
        writer.finishRewrite(.flushed) { [writer] _ in
            // As long as this lasts the writer's thread writes nothing; and then the second rewrite's end comes first.
            #expect(writer.beginRewrite())
            writer.finishRewrite(.flushed) { _ in isOver.withLock { $0 = true } }
            _ = writer.append(Counters.command(1), database: 0)
        }
        #expect(eventually { isOver.withLock { $0 } })
        #expect(writer.pendingByteCount == 0)

        // It would go to the file that takes nothing.
        #expect(writer.beginRewrite())
        var base = try DiskFile(path: writer.temporaryBasePath, isNew: true)
        try base.append(counters.base)
        counters.apply(Counters.command(3))
        _ = writer.append(Counters.command(3), database: 0)
        let failure = Mutex<SnapshotFailure??>(nil)
        writer.finishRewrite(nil) { result in failure.withLock { $0 = .some(result) } }
        #expect(eventually { failure.withLock { $0 != nil } })
        #expect(failure.withLock { $0 } == .some(nil))
        writer.close()
        #expect(try open(folder).0 == counters)
    }

    @Test func `of two who wait the one whose bytes are on disk is told so, though the other asked first`() throws {
        let (writer, _) = try openWriter(Folder(), policy: .always)
        var log = AppendLog()
        let count = log.append(Counters.command(1), database: 0)
        let isSafe = Mutex<Bool?>(nil)
        writer.whenSafe(count + 1) { _ in }
        writer.whenSafe(count) { safe in isSafe.withLock { $0 = safe } }
        #expect(writer.append(Counters.command(1), database: 0) == count)
        #expect(eventually { isSafe.withLock { $0 } == true })
        writer.close()
    }

    @Test func `who appends after the end waits for nothing`() throws {
        let (writer, _) = try openWriter(Folder(), policy: .always)
        writer.close()
        let isSafe = Mutex<Bool?>(nil)
        writer.whenSafe(writer.append(Counters.command(1), database: 0)) { safe in isSafe.withLock { $0 = safe } }
        #expect(isSafe.withLock { $0 } == false)
    }

    @Test func `everysec syncs what is written, also when nothing ticks`() throws {
        let folder = try Folder()
        // Can be written, and not synced: who tries is told so.
        try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/appendonly.aof.1.incr.aof", withDestinationPath: "/dev/null")
        try Data("file appendonly.aof.1.incr.aof seq 1 type i\n".utf8).write(to: folder.url.appending(path: "appendonly.aof.manifest"))
        let (writer, healths) = try openWriter(folder, policy: .everysec)
        _ = writer.append(Counters.command(1), database: 0)
        #expect(eventually { writer.pendingByteCount == 0 } && writer.health == .good)
        #expect(eventually {
            _ = writer.append(Counters.command(1), database: 0)
            return healths.seen.withLock { !$0.isEmpty }
        })
        writer.close()
    }

    @Test func `while the disk is slow who writes waits, and the log in memory keeps its bound`() throws {
        let (writer, _) = try openWriter(Folder(), policy: .everysec, pendingBytesMax: 1000)
        // What is called from the writer's thread keeps it as a slow disk does.
        let disk = DispatchSemaphore(value: 0)
        #expect(writer.beginRewrite())
        writer.finishRewrite(.closed) { _ in disk.wait() }
        let large = [octets("SET"), octets("k"), [UInt8](repeating: 0, count: 2000)]
        _ = writer.append(large, database: 0)
        let hasRoom = Mutex(false)
        Thread.detachNewThread {
            // A second each.
            for _ in 0..<30 where writer.pendingByteCount > 1000 { writer.waitForRoom() }
            hasRoom.withLock { $0 = true }
        }
        usleep(50_000)
        #expect(!hasRoom.withLock { $0 } && writer.pendingByteCount > 2000)
        disk.signal()
        #expect(eventually { hasRoom.withLock { $0 } && writer.pendingByteCount == 0 })
        writer.close()
    }

    @Test func `a log that breaks while it is rewritten has no new base`() throws {
        let folder = try fullDisk(1...2)
        let counters = Counters()
        let (writer, healths) = try openWriter(folder, policy: .everysec, pendingBytesMax: 200)
        #expect(writer.beginRewrite())
        var base = try DiskFile(path: writer.temporaryBasePath, isNew: true)
        try base.append(counters.base)
        breakLog(writer, healths)
        let failure = Mutex<SnapshotFailure??>(nil)
        writer.finishRewrite(nil) { result in failure.withLock { $0 = .some(result) } }
        #expect(eventually { failure.withLock { $0 != nil } })
        if case .some(.some(.disk)) = failure.withLock({ $0 }) {} else { Issue.record("it has a base") }
        #expect(healths.isBroken && writer.droppedByteCount > 0)
        #expect(try folder.names().filter { $0.contains("base") } == [])
        writer.close()
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `Redis loads our directory, and we load its`() throws {
        let folder = try Folder()
        let logFolder = folder.url.appending(path: "appendonlydir")
        var recovery = AppendLogDirectory.Recovery()
        let nothing = AppendLogDirectory.Target(base: .init { _ in "unexpected" }, commands: { _ in "unexpected" })
        var directory = try AppendLogDirectory(directory: logFolder.path, prefix: "appendonly.aof", now: 0, into: nothing, recovery: &recovery)
        try directory.beginIncrement()
        var file = try DiskFile(path: directory.temporaryBasePath, isNew: true)
        try file.append(SnapshotSamples.file())
        try file.sync()
        try directory.finishRewrite()
        var log = AppendLog()
        log.append([octets("SET"), octets("after"), octets("the base")], database: 5)
        log.appendTransaction([1, 1].map { AppendLogReplay.Command(Counters.command($0), database: 0) })
        try directory.append(log.takeBatch().before)
        try directory.sync()

        let redis = try RedisPeer(folder: folder.url, ["--appendonly", "yes", "--appendfsync", "always"])
        let client = try redis.client()
        #expect(try client.call("DBSIZE") == .integer(Int64(SnapshotSamples.entries.filter { $0.database == 0 }.count + 1)))
        #expect(try client.call("GET", "1") == .bytes(octets("2")))
        try client.call("SET", "from", "redis")
        try client.call("BGREWRITEAOF")
        #expect(try eventually(seconds: 20) { try client.call("INFO", "persistence").text?.contains("aof_rewrite_in_progress:0") == true })
        try client.call("MULTI")
        try client.call("INCR", "1")
        try client.call("INCR", "1")
        try client.call("EXEC")
        try redis.shutdown(saving: false)

        let found = Mutex<(entries: [SnapshotEntry], commands: [[[UInt8]]])>(([], []))
        var second = AppendLogDirectory.Recovery()
        _ = try AppendLogDirectory(
            directory: logFolder.path, prefix: "appendonly.aof", now: 0,
            into: AppendLogDirectory.Target(
                base: .init { entry in
                    found.withLock { $0.entries.append(entry) }
                    return nil
                },
                commands: { commands in
                    found.withLock { $0.commands += commands.map(\.words) }
                    return nil
                }),
            recovery: &second)
        let (entries, commands) = found.withLock { $0 }
        #expect(entries.contains { $0.key == octets("from") && $0.value == .string(octets("redis")) })
        #expect(entries.contains { $0.key == octets("after") && $0.database == 5 })
        #expect(entries.count == SnapshotSamples.entries.filter { !$0.value.isEmptyCollection }.count + 3)
        #expect(commands.suffix(2) == [[octets("INCR"), octets("1")], [octets("INCR"), octets("1")]])
    }
}
