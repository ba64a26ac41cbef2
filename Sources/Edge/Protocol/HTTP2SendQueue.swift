/// The streams of a connection that have something to send, in the order in which they may.
///
/// Of those with the same urgency the one that came first sends all that it has and may, unless both sides can use parts of it: such
/// streams take turns.
/// - Source: RFC 9218 §10.
struct HTTP2SendQueue {
    private var rows: [[HTTP2Stream]] = Array(repeating: [], count: 8)

    var isEmpty: Bool { rows.allSatisfy(\.isEmpty) }

    mutating func add(_ stream: HTTP2Stream) {
        guard !stream.isReady, stream.isSendable else { return }
        stream.isReady = true
        rows[Int(stream.priority.urgency) & 7].append(stream)
    }

    /// Takes out who is next.
    mutating func next() -> HTTP2Stream? {
        for row in rows.indices where !rows[row].isEmpty {
            let stream = rows[row].removeFirst()
            stream.isReady = false
            if stream.isSendable { return stream }
            return next()
        }
        return nil
    }

    /// Puts one back that has sent a frame and has more.
    mutating func putBack(_ stream: HTTP2Stream) {
        guard !stream.isReady, stream.isSendable else { return }
        stream.isReady = true
        let row = Int(stream.priority.urgency) & 7
        if stream.priority.isIncremental { rows[row].append(stream) } else { rows[row].insert(stream, at: 0) }
    }

    /// Its client thinks otherwise of it.
    mutating func prioritised(_ stream: HTTP2Stream) {
        guard stream.isReady else { return }
        for row in rows.indices { rows[row].removeAll { $0 === stream } }
        stream.isReady = false
        add(stream)
    }
}
