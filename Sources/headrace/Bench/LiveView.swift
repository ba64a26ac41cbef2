import Foundation
import LoadGenerator
import Synchronization

/// How a run goes, while it goes: on a terminal one line that is written over each second, elsewhere a line every ten seconds.
final class LiveView: Sendable {
    private static let secondsBetweenLines = 10.0

    private let isTerminal: Bool
    private let lastLine = Mutex(0.0)
    /// The measured time that is planned, in seconds.
    private let planned: Double

    init(planned: Double) {
        isTerminal = isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
        self.planned = planned
    }

    func show(_ sample: LoadSample) {
        let text = Self.line(sample, planned: planned)
        if isTerminal {
            let line = Self.cut("\(text)  \(Self.histogram(sample))", columns: Self.columns())
            FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8))
        } else if lastLine.withLock({ last in
            guard sample.seconds >= last + Self.secondsBetweenLines - 0.5 else { return false }
            last = sample.seconds
            return true
        }) {
            Terminal.say(text)
        }
    }

    /// Of the terminal, which may have changed since the last second; 80 where it does not say.
    private static func columns() -> Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    /// So that it stays one line, and the cursor on it: what goes on in the next line is not written over.
    static func cut(_ line: String, columns: Int) -> String { String(line.prefix(max(columns - 1, 0))) }

    /// The line is done with.
    func end() {
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    }

    /// The second's response times as columns from the first bound with any to the last, with the bounds at both ends.
    static func histogram(_ sample: LoadSample) -> String {
        guard let first = sample.histogram.firstIndex(where: { $0 > 0 }), let last = sample.histogram.lastIndex(where: { $0 > 0 }) else { return "" }
        let most = sample.histogram.max() ?? 1
        let blocks = Array("▁▂▃▄▅▆▇█")
        let columns = sample.histogram[first...last].map { count in count == 0 ? " " : String(blocks[min(count * blocks.count / most, blocks.count - 1)]) }
        func bound(_ index: Int) -> String { String(format: "%g", index < 0 ? 0 : LoadSample.histogramBounds[index]) }
        return "\(bound(first - 1)) \(columns.joined()) \(bound(last)) ms"
    }

    static func line(_ sample: LoadSample, planned: Double) -> String {
        let place = sample.isWarmUp ? "warm-up" : "of \(String(format: "%.0f", planned)) s"
        return String(format: "%.0f s (", sample.seconds) + place
            + String(
                format: ")  %.0f requests/s  p50 %.2f  p95 %.2f  p99 %.2f ms  %d failed", sample.requestsPerSecond, sample.p50, sample.p95,
                sample.p99, sample.failed)
    }
}
