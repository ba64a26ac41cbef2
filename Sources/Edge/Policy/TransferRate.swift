import NIOCore

/// How fast a peer sends, while it may: a deadline between two reads alone lets it send a byte each time, for ever.
struct TransferRate {
    private var bytes = 0
    private var nanoseconds: Int64 = 0
    private var last: NIODeadline

    init(now: NIODeadline) {
        last = now
    }

    /// - Parameter wasHeldUp: we stopped reading in between, so that the time is not the peer's.
    mutating func received(_ count: Int, wasHeldUp: Bool, now: NIODeadline) {
        let (sum, hasOverflown) = bytes.addingReportingOverflow(count)
        bytes = hasOverflown ? .max : sum
        if !wasHeldUp { nanoseconds &+= max(0, (now - last).nanoseconds) }
        last = now
    }

    /// - Parameters:
    ///   - bytesPerSecond: 0 is never too slow.
    ///   - grace: time that is needed before anything can be said.
    func isBelow(_ bytesPerSecond: Int, grace: TimeAmount) -> Bool {
        nanoseconds > grace.nanoseconds && Self.isBelow(bytesPerSecond, bytes: bytes, nanoseconds: nanoseconds)
    }

    static func isBelow(_ bytesPerSecond: Int, bytes: Int, nanoseconds: Int64) -> Bool {
        Double(bytes) * 1e9 < Double(bytesPerSecond) * Double(nanoseconds)
    }
}
