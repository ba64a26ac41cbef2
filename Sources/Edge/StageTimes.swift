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
    /// Nanoseconds that were spent in each stage so far, in the order of the cases.
    private var spent: InlineArray<6, Int64> = .init(repeating: 0)

    init(started: NIODeadline) {
        since = started
    }

    /// The stage before ends here.
    mutating func entered(_ stage: Stage, now: NIODeadline) {
        // A stamp may be that of the turn, and older than the last.
        let end = max(now, since)
        spent[caseNumber(current)] += (end - since).nanoseconds
        (current, since) = (stage, end)
        if stage != .write { isPlain = false }
    }

    /// So much of the stage that lasts went into compressing.
    mutating func compressed(nanoseconds: Int64) {
        guard nanoseconds > 0 else { return }
        isPlain = false
        spent[caseNumber(Stage.compress)] += nanoseconds
        spent[caseNumber(current)] -= nanoseconds
    }

    /// Nanoseconds in a stage.
    /// - Parameter end: of the exchange; `nil` when what lasts yet is not counted.
    func nanoseconds(_ stage: Stage, end: NIODeadline?) -> Int64 {
        let past = spent[caseNumber(stage)]
        guard stage == current, let end else { return max(past, 0) }
        return max(past + max((end - since).nanoseconds, 0), 0)
    }
}
