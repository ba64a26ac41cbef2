import Foundation
import Logging
import Transport

/// Measures what memory the process has and says it to all layers, on a thread of its own: no event loop that is busy keeps it waiting.
struct MemoryWatch: Sendable {
    /// 20 ms while there is plenty; 5 ms from half of the total on, in which peers on the same machine fill some 3 MB: less than what lies between two levels.
    private static let interval: useconds_t = 20_000
    private static let shortInterval: useconds_t = 5_000
    /// How often freed memory is given back to the kernel under pressure: it takes milliseconds, and holds up who allocates. 0.1 s while something comes of it, up to
    /// 10 s while nothing does.
    private static let (trimEvery, trimEveryMax) = (Duration.milliseconds(100), Duration.seconds(10))
    /// How often all loops say what they hold; and how often they give it up while it is too much: in 10 ms peers on the same machine fill some 10 MB, and to go
    /// through 10,000 connections takes one.
    private static let (reviewEvery, cutEvery) = (Duration.milliseconds(50), Duration.milliseconds(10))

    let pressure: MemoryPressure
    let logger: Logger
    /// Files with the numbers of processes whose memory counts, too: those of the other layers.
    var others: [String] = []

    /// Begins, unless there is no total to watch. It ends with the process.
    func start() {
        guard pressure.bytesMax > 0 else { return }
        Thread.detachNewThread { run() }
    }

    private func run() {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return logger.error("memory.total: the process' memory cannot be measured") }
        pressure.measure { [self] in measure(file) }
        let clock = ContinuousClock()
        var (last, trimEvery) = (MemoryPressure.Level.none, Self.trimEvery)
        var (trimmed, reviewed) = (clock.now, clock.now)
        while true {
            pressure.measureNow()
            let (level, now) = (pressure.level, clock.now)
            if level != last {
                logger.warning(
                    "memory",
                    metadata: ["given up": "\(Self.text(level))", "resident": "\(pressure.residentBytes >> 20) MiB", "memory.total": "\(pressure.bytesMax >> 20) MiB"])
            }
            if level > last { trimEvery = Self.trimEvery }
            // What was cut is the allocator's still, and would be taken for use.
            if level > .none, level <= last, now - trimmed >= trimEvery {
                let before = (resident: pressure.residentBytes, hasCut: pressure.hasCut)
                _ = malloc_trim(0)
                pressure.trimmed()
                pressure.measureNow()
                let isOfUse = before.hasCut || before.resident - pressure.residentBytes > before.resident / 100
                trimEvery = isOfUse ? Self.trimEvery : min(trimEvery * 2, Self.trimEveryMax)
                trimmed = clock.now
            }
            // At once when it rises: thousands of peers fill what lies between two levels in less than a sweep of deadlines.
            if level >= .requests, level > last || now - reviewed >= (level == .exchanges ? Self.cutEvery : Self.reviewEvery) {
                pressure.review()
                reviewed = clock.now
            }
            last = level
            usleep(pressure.residentBytes > pressure.bytesMax / 2 ? Self.shortInterval : Self.interval)
        }
    }

    private func measure(_ file: Int32) {
        guard let pages = Self.residentPages(file) else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        pressure.measured(residentBytes: (pages + othersPages()) * page, ownBytes: pages * page)
    }

    private func othersPages() -> Int {
        others.reduce(0) { sum, path in
            guard let process = (try? String(contentsOfFile: path, encoding: .utf8)).flatMap({ Int32($0) }) else { return sum }
            let file = open("/proc/\(process)/statm", O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { return sum }
            defer { close(file) }
            return sum + (Self.residentPages(file) ?? 0)
        }
    }

    /// What is resident and the process' own: pages of files that it has mapped are the kernel's to drop.
    private static func residentPages(_ file: Int32) -> Int? {
        var text = [UInt8](repeating: 0, count: 128)
        let count = pread(file, &text, text.count, 0)
        // Size, then what is resident, then what of that is of files or shared, in pages (proc(5)).
        let words = text.prefix(max(0, count)).split(separator: 0x20)
        guard words.count > 2, let all = Int(String(decoding: words[1], as: UTF8.self)), let mapped = Int(String(decoding: words[2], as: UTF8.self)) else { return nil }
        return max(0, all - mapped)
    }

    static func text(_ level: MemoryPressure.Level) -> String {
        switch level {
        case .none: "nothing"
        case .connections: "new connections"
        case .requests: "new requests"
        case .exchanges: "who holds most"
        }
    }
}

/// glibc's, which has no header in a module.
@_silgen_name("malloc_trim")
private func malloc_trim(_ bytesKept: Int) -> Int32
