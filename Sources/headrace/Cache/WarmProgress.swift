import Foundation
import Telemetry

/// How far warming has come: a bar on a terminal, a line every ten seconds elsewhere. Belongs to the one task that shows it.
final class WarmProgress {
    private static let width = 30

    private let total: Int
    private let isTerminal: Bool
    private let start = MonotonicClock.nanoseconds()
    private var shown: UInt64 = 0

    init(total: Int) {
        self.total = total
        isTerminal = isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    }

    func show(_ answers: [WarmCommand.Answer]) {
        let now = MonotonicClock.nanoseconds()
        guard now - shown >= (isTerminal ? 100_000_000 : 10_000_000_000) || answers.count == total else { return }
        if shown == 0, !isTerminal, answers.count < total {
            // Nothing is worth a line of a log yet.
            shown = now
            return
        }
        shown = now
        let text = Self.line(
            done: answers.count, total: total, failed: answers.count { $0.outcome == .failed }, seconds: Double(now - start) / 1e9)
        if isTerminal {
            FileHandle.standardError.write(Data("\r\u{1B}[K\(text)".utf8))
        } else {
            Terminal.say(text)
        }
    }

    func end() {
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    }

    static func line(done: Int, total: Int, failed: Int, seconds: Double) -> String {
        let share = total == 0 ? 1 : Double(done) / Double(total)
        let filled = Int(share * Double(width))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        let rate = seconds > 0 ? Double(done) / seconds : 0
        return "\(bar) \(done) of \(total), \(Int(rate.rounded()))/s" + (failed > 0 ? ", \(failed) failed" : "")
    }
}
