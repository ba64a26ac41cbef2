import NIOCore

/// Where an exchange's time went: it is in one stage at a time, and all of them add up to the whole. A plain value.
///
/// ```
/// lookup ─► write                                        a hit, an answer of the edge's own
/// lookup ─► queue ─► connect ─► first byte ─► write      asked of the application; with another attempt from the queue on
/// lookup ─► queue ─► write                               answered by the fetch of another request
/// ```
/// Compressing happens within a stage and is taken off it. What a hit needs is read off two stamps that are made anyway: when its head was
/// written, and when it ended.
struct StageTimes {
    /// The raw value is the word in `Server-Timing`, in metric labels and, with `_ms` behind it, in the access log.
    enum Stage: String, CaseIterable, Sendable {
        /// The route, who may have it (passwords, `forward_auth`), and what is stored.
        case lookup
        /// For a place at the application, or for the fetch of another request.
        case queue
        /// A connection to the application is made.
        case connect
        /// From the request on its way to the application to its response's head; of a file, until it is open.
        case firstByte = "first_byte"
        /// While the client waits.
        case compress
        /// The body's way, from whoever makes it to the client. What is sent lies in the kernel then, or before it.
        case write
    }

    private(set) var current = Stage.lookup
    /// Nobody was asked, waited for or made to compress.
    private(set) var isPlain = true
    private var since: NIODeadline
    private var lookup: Int64 = 0
    private var queue: Int64 = 0
    private var connect: Int64 = 0
    private var firstByte: Int64 = 0
    private var compress: Int64 = 0
    private var write: Int64 = 0

    init(started: NIODeadline) {
        since = started
    }

    /// The stage before ends here.
    mutating func entered(_ stage: Stage, now: NIODeadline) {
        // A stamp may be that of the turn, and older than the last.
        let end = max(now, since)
        add((end - since).nanoseconds, to: current)
        (current, since) = (stage, end)
        if stage != .write { isPlain = false }
    }

    /// So much of the stage that lasts went into compressing.
    mutating func compressed(nanoseconds: Int64) {
        guard nanoseconds > 0 else { return }
        isPlain = false
        compress += nanoseconds
        add(-nanoseconds, to: current)
    }

    /// Nanoseconds in a stage.
    /// - Parameter end: of the exchange; `nil` when what lasts yet is not counted.
    func nanoseconds(_ stage: Stage, end: NIODeadline?) -> Int64 {
        let past =
            switch stage {
            case .lookup: lookup
            case .queue: queue
            case .connect: connect
            case .firstByte: firstByte
            case .compress: compress
            case .write: write
            }
        guard stage == current, let end else { return max(past, 0) }
        return max(past + max((end - since).nanoseconds, 0), 0)
    }

    @inline(__always)
    private mutating func add(_ nanoseconds: Int64, to stage: Stage) {
        switch stage {
        case .lookup: lookup += nanoseconds
        case .queue: queue += nanoseconds
        case .connect: connect += nanoseconds
        case .firstByte: firstByte += nanoseconds
        case .compress: compress += nanoseconds
        case .write: write += nanoseconds
        }
    }
}
