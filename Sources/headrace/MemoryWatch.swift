import Foundation
import Logging
import Transport

/// Measures what memory the process has and says it to all layers, on a thread of its own: no event loop that is busy keeps it waiting.
struct MemoryWatch: Sendable {
    /// 20 ms while there is plenty; 5 ms from half of the total on, in which peers on the same machine fill some 3 MB: less than what lies between two levels.
    private static let interval: useconds_t = 20_000
    private static let shortInterval: useconds_t = 5_000
    /// How often freed memory is given back to the kernel under pressure, in measurements: it takes milliseconds, and holds up who allocates.
    private static let trimEvery = 40

    let pressure: MemoryPressure
    let logger: Logger

    /// Begins, unless there is no total to watch. It ends with the process.
    func start() {
        guard pressure.bytesMax > 0 else { return }
        Thread.detachNewThread { run() }
    }

    private func run() {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return logger.error("memory.total: the process' memory cannot be measured") }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        var text = [UInt8](repeating: 0, count: 128)
        var (last, sinceTrim) = (MemoryPressure.Level.none, 0)
        while true {
            let count = pread(file, &text, text.count, 0)
            // Size, then what is resident, in pages (proc(5)).
            let words = text.prefix(max(0, count)).split(separator: 0x20)
            if words.count > 1, let pages = Int(String(decoding: words[1], as: UTF8.self)) {
                let level = pressure.measured(residentBytes: pages * page)
                if level != last {
                    logger.warning(
                        "memory", metadata: ["given up": "\(Self.text(level))", "resident": "\((pages * page) >> 20) MiB", "memory.total": "\(pressure.bytesMax >> 20) MiB"])
                }
                last = level
                sinceTrim += 1
                // What was freed is the allocator's still, and would be taken for use.
                if level > .none, sinceTrim >= Self.trimEvery {
                    _ = malloc_trim(0)
                    sinceTrim = 0
                }
            }
            usleep(pressure.residentBytes > pressure.bytesMax / 2 ? Self.shortInterval : Self.interval)
        }
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
