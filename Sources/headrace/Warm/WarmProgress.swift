import Foundation
import Telemetry

/// How far warming has come: a bar on a terminal, a line every ten seconds elsewhere. Belongs to the one task that shows it.
final class WarmProgress {
    private static let width = 30

    /// `nil` when nobody knows how many there are.
    private let total: Int?
    private let isTerminal: Bool
    private let start = MonotonicClock.nanoseconds()
    private var shown: UInt64 = 0

    init(total: Int?) {
        self.total = total
        isTerminal = isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    }

    /// - Parameter share: how far it is where that is not the count's share of the total.
    func show(done: Int, share: Double? = nil, failed: @autoclosure () -> Int) {
        let now = MonotonicClock.nanoseconds()
        guard now - shown >= (isTerminal ? 100_000_000 : 10_000_000_000) || done == total else { return }
        if shown == 0, !isTerminal, done != total {
            // Nothing is worth a line of a log yet.
            shown = now
            return
        }
        shown = now
        let text = Self.line(done: done, total: total, share: share, failed: failed(), seconds: Double(now - start) / 1e9)
        if isTerminal {
            FileHandle.standardError.write(Data("\r\u{1B}[K\(text)".utf8))
        } else {
            Terminal.say(text)
        }
    }

    /// A line of its own, above the bar.
    func note(_ text: String) {
        end()
        Terminal.say(text)
    }

    func end() {
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    }

    static func line(done: Int, total: Int?, share: Double? = nil, failed: Int, seconds: Double) -> String {
        let share = share ?? total.map { $0 == 0 ? 1 : Double(done) / Double($0) }
        let bar = share.map { share in
            let filled = Int(min(1, share) * Double(width))
            return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled) + " "
        }
        let rate = seconds > 0 ? Double(done) / seconds : 0
        let count = total.map { "\(done) of \($0)" } ?? "\(done)"
        return "\(bar ?? "")\(count), \(Int(rate.rounded()))/s" + (failed > 0 ? ", \(failed) failed" : "")
    }
}
