import Foundation
import Telemetry

/// The processes of a PostgreSQL on this machine, as the kernel counts them.
///
/// They are known by the process of a session: its parent is the one that all are children of. The same number may be somebody else's here,
/// where PostgreSQL runs on another machine or in a container: the process must have begun when PostgreSQL says that it did.
/// - Source: proc(5), PostgreSQL's documentation, "Architectural Fundamentals".
struct DatabaseProcesses: Equatable {
    /// Since the first of them began; of those that have ended, too.
    var cpuSeconds = 0.0
    /// What each has for itself, and once what they share, as far as one of them has touched it.
    var memoryBytes = 0.0

    /// PostgreSQL reads its clock a moment after the process has begun; the kernel counts in hundredths.
    private static let startSecondsMax = 2.0
    /// More are another program's.
    private static let processesMax = 10_000

    private struct Stat {
        var name: Substring
        var parent: Int
        var cpuTicks: Double
        /// Of children that have ended.
        var endedTicks: Double
        var startTicks: Double
    }

    /// - Parameters:
    ///   - session: the number of a session's process.
    ///   - startedAt: when that began, in seconds since 1970, by PostgreSQL's clock.
    /// - Returns: `nil` when they are not seen from here.
    init?(session: Int, startedAt: Double, boot: Double = Self.boot, folder: String = "/proc") {
        let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        guard let own = Self.stat(session, folder), own.name.hasPrefix("postgres"), abs(boot + own.startTicks / ticks - startedAt) <= Self.startSecondsMax,
            let children = KernelFile.text("\(folder)/\(own.parent)/task/\(own.parent)/children")
        else { return nil }
        var shared = 0.0
        func add(_ process: Int) {
            let status = (try? String(contentsOfFile: "\(folder)/\(process)/status", encoding: .utf8)) ?? ""
            for line in status.split(separator: "\n") {
                let words = line.split(whereSeparator: \.isWhitespace)
                guard words.count > 1, let size = Double(words[1]).map({ $0 * 1024 }) else { continue }
                if words[0] == "RssAnon:" { memoryBytes += size }
                if words[0] == "RssShmem:" { shared = max(shared, size) }
            }
        }
        // The children first: who ends meanwhile is counted twice for once, and not forgotten.
        for child in children.split(whereSeparator: \.isWhitespace).prefix(Self.processesMax).compactMap({ Int($0) }) {
            guard let stat = Self.stat(child, folder) else { continue }
            cpuSeconds += (stat.cpuTicks + stat.endedTicks) / ticks
            add(child)
        }
        guard let first = Self.stat(own.parent, folder), first.name.hasPrefix("postgres") else { return nil }
        cpuSeconds += (first.cpuTicks + first.endedTicks) / ticks
        add(own.parent)
        memoryBytes += shared
    }

    /// Whether those of other users are hidden: by systemd's `ProtectProc`, or by whoever mounted `/proc`.
    /// - Parameter mounts: `/proc/self/mountinfo`.
    /// - Source: proc(5), "Mount options" and "/proc/pid/mountinfo": the mount's place is field 5, its options are the last.
    static func areHidden(mounts: String = KernelFile.text("/proc/self/mountinfo") ?? "") -> Bool {
        let last = mounts.split(separator: "\n").map { $0.split(separator: " ") }.last { $0.count > 4 && $0[4] == "/proc" }
        return last?.last?.split(separator: ",").contains { $0.hasPrefix("hidepid=") && $0 != "hidepid=0" && $0 != "hidepid=off" } ?? false
    }

    /// When the machine began, in seconds since 1970: what start times are counted from. /proc/stat, which has it too, is hidden from services.
    static var boot: Double {
        var up = timespec()
        clock_gettime(CLOCK_BOOTTIME, &up)
        return Double(WallClock.nanoseconds()) / 1e9 - Double(up.tv_sec) - Double(up.tv_nsec) / 1e9
    }

    /// The fields behind the name, which may have spaces and parentheses itself, are counted from 3 on.
    private static func stat(_ process: Int, _ folder: String) -> Stat? {
        guard let text = try? String(contentsOfFile: "\(folder)/\(process)/stat", encoding: .utf8), let open = text.firstIndex(of: "("),
            let close = text.lastIndex(of: ")"), open < close
        else { return nil }
        let fields = text[close...].dropFirst().split(separator: " ")
        func field(_ number: Int) -> Double? { number - 3 < fields.count ? Double(fields[number - 3]) : nil }
        guard let parent = field(4).flatMap({ Int(exactly: $0) }), let user = field(14), let system = field(15), let endedUser = field(16),
            let endedSystem = field(17), let start = field(22)
        else { return nil }
        return Stat(name: text[text.index(after: open)..<close], parent: parent, cpuTicks: user + system, endedTicks: endedUser + endedSystem, startTicks: start)
    }
}
