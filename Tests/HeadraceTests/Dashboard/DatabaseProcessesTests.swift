import Foundation
import Testing

@testable import headrace

/// Which processes are a PostgreSQL's, by files as those of `/proc`.
@Suite struct DatabaseProcessesTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "proc-\(UUID().uuidString)")
    private let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))

    private func process(_ number: Int, parent: Int, name: String = "postgres", cpu: [Int] = [0, 0, 0, 0], start: Double = 50, anonymous: Int = 0, shared: Int = 0, children: String? = nil) throws {
        let own = folder.appending(path: "\(number)")
        try FileManager.default.createDirectory(at: own.appending(path: "task/\(number)"), withIntermediateDirectories: true)
        let times = cpu.map(String.init).joined(separator: " ")
        try Data("\(number) (\(name)) S \(parent) 1 1 0 -1 4194560 9 9 0 0 \(times) 20 0 1 0 \(Int(start * ticks)) 1 1\n".utf8).write(to: own.appending(path: "stat"))
        try Data("Name:\t\(name)\nRssAnon:\t  \(anonymous) kB\nRssFile:\t 999 kB\nRssShmem:\t \(shared) kB\n".utf8).write(to: own.appending(path: "status"))
        if let children { try Data(children.utf8).write(to: own.appending(path: "task/\(number)/children")) }
    }

    @Test func `all children of a session's parent are counted, what they share once, and who has ended`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let second = Int(ticks)
        try process(10, parent: 1, cpu: [second, second, 20 * second, 10 * second], anonymous: 1, shared: 100, children: "11 12 99 ")
        // A name may have anything in it.
        try process(11, parent: 10, name: "postgres) S 7 (x", cpu: [2 * second, second, 0, 0], start: 90, anonymous: 2, shared: 300)
        try process(12, parent: 10, cpu: [0, 4 * second, 0, 0], anonymous: 4, shared: 200)
        try process(13, parent: 1, cpu: [1000 * second, 0, 0, 0], anonymous: 1000)
        let found = try #require(DatabaseProcesses(session: 11, startedAt: 1000 + 90.4, boot: 1000, folder: folder.path))
        #expect(abs(found.cpuSeconds - (2 + 30 + 3 + 4)) < 1e-9)
        #expect(found.memoryBytes == Double(7 + 300) * 1024)
    }

    @Test func `a process that began at another time, has another name or is not there is not PostgreSQL's`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try process(10, parent: 1, children: "11 12")
        try process(11, parent: 10, start: 90)
        try process(12, parent: 10, name: "nginx", start: 90)
        try process(20, parent: 21, start: 90)
        try process(21, parent: 1, name: "sh", children: "20")
        func find(_ session: Int, _ startedAt: Double) -> DatabaseProcesses? { .init(session: session, startedAt: startedAt, boot: 1000, folder: folder.path) }
        #expect(find(11, 1090) != nil)
        #expect(find(11, 1086) == nil && find(11, 1094) == nil, "the same number, elsewhere")
        #expect(find(12, 1090) == nil && find(20, 1090) == nil && find(99, 1090) == nil && find(-1, 1090) == nil)
        // As ProtectProc=invisible leaves it, and ProtectProc=default; the mount on top counts.
        let plain = "23 29 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw"
        let hidden = "412 380 0:60 / /proc rw,nosuid,nodev,noexec,relatime shared:99 - proc proc rw,hidepid=invisible,subset=pid"
        let ours = hidden.replacing("/proc rw", with: "/srv/proc rw")
        for mounts in ["", "a b", plain, "\(plain)\n\(ours)\n", "\(hidden)\n\(plain)", hidden.replacing("=invisible", with: "=off")] {
            #expect(!DatabaseProcesses.areHidden(mounts: mounts), "\(mounts)")
        }
        #expect(DatabaseProcesses.areHidden(mounts: "\(plain)\n\(hidden)\n") && DatabaseProcesses.areHidden(mounts: hidden.replacing("invisible", with: "2")))
        for text in ["", "11", "11 (postgres", "11 (postgres) S", "11 )postgres( S 1 2 3", "11 (postgres) S x 1 1 0 -1 0 9 9 0 0 a b c d 20 0 1 0 9000"] {
            try Data(text.utf8).write(to: folder.appending(path: "11/stat"))
            #expect(find(11, 1090) == nil, "\(text)")
        }
    }
}
