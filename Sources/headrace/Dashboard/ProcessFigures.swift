import Foundation
import NIOCore
import Telemetry

/// What the kernel says of this process.
/// - Source: proc(5).
struct ProcessFigures: Codable {
    var cpuNanoseconds = ProcessClock.nanoseconds()
    var residentBytes = 0
    var openFiles = 0
    var openFilesMax = 0
    var threads = 0
    var virtualBytes = 0
    var cores = System.coreCount
    /// Seconds since 1970.
    var startedAt = ProcessFigures.started

    /// Clock ticks from the system's start to the process', field 22: that field comes 20th behind the parenthesis that ends the name.
    private static let started: Double = {
        let stat = (try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8)) ?? ""
        let words = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
        guard words.count > 20, let ticks = Double(words[20]) else { return 0 }
        return DatabaseProcesses.boot + ticks / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
    }()

    init() {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        for line in status.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count > 1 else { continue }
            if words[0] == "VmRSS:" { residentBytes = (Int(words[1]) ?? 0) << 10 }
            if words[0] == "VmSize:" { virtualBytes = (Int(words[1]) ?? 0) << 10 }
            if words[0] == "Threads:" { threads = Int(words[1]) ?? 0 }
        }
        openFiles = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { openFilesMax = Int(clamping: limit.rlim_cur) }
    }

    /// Takes in another process of the same program, which began on its own.
    mutating func add(_ other: ProcessFigures) {
        cpuNanoseconds &+= other.cpuNanoseconds
        residentBytes += other.residentBytes
        virtualBytes += other.virtualBytes
        openFiles += other.openFiles
        threads += other.threads
    }
}
