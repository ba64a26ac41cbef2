/// What a server still has to answer, in order. Where a pooler adds, leaves out or answers messages itself, it must know which of the
/// replies are the client's.
struct ReplyQueue {
    enum Kind: UInt8 {
        /// A query of ours, before the client's first: its replies are ours.
        case setup
        /// A question of ours after the client's last: ``SessionProbe``.
        case probe
        case query, functionCall
        case parse, bind, describe, execute, close
        case sync
        /// CopyDone or CopyFail: not answered itself.
        case copyEnd
        /// A Parse or Close that the client knows nothing of.
        case parseUnseen, closeUnseen
        /// A Describe and a Sync of ours: see ``ServerSession/Repetition``.
        case describeUnseen, syncUnseen
        /// A Parse or Close of the client's that the server knows nothing of.
        case parseAnswered, closeAnswered
        /// A DEALLOCATE of a statement that has another name at the server.
        case deallocateAnswered
    }

    struct Entry: Equatable {
        var kind: Kind
        /// Of a Parse, a Bind, a Describe or a Close: whose. 0: the client's unnamed one, or not known.
        var statement = 0
    }

    private var entries: [Entry] = []
    private var head = 0

    var count: Int { entries.count - head }
    var isEmpty: Bool { head == entries.count }
    var first: Entry? { head < entries.count ? entries[head] : nil }

    mutating func append(_ kind: Kind, statement: Int = 0) {
        entries.append(Entry(kind: kind, statement: statement))
    }

    mutating func removeFirst() {
        head += 1
        if head == entries.count {
            entries.removeAll(keepingCapacity: entries.capacity <= 1024)
            head = 0
        } else if head >= 1024, head * 2 > entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }

    /// All that is to be answered, for a while in which it is not.
    var all: ArraySlice<Entry> { entries[head...] }

    /// An error came: what the server skips, up to the next Sync.
    /// - Returns: whether there is a Sync.
    mutating func skipToSync(_ skipped: (Entry) -> Void) -> Bool {
        while let first {
            if first.kind == .sync || first.kind == .syncUnseen { return true }
            skipped(first)
            removeFirst()
        }
        return false
    }

    /// COPY began to read while an Execute was answered: a Sync that was sent on its heels is ignored by the server.
    ///
    /// The backend "will ignore Flush and Sync messages" while it takes copy data; libpq sends one before it can know.
    /// - Parameter ignored: told how many were.
    /// - Returns: whether the end of the copy data was sent already.
    /// - Source: PostgreSQL 15, "Message Flow", COPY Operations.
    mutating func copyInBegan(_ ignored: (Int) -> Void = { _ in }) -> Bool {
        let end = entries[head...].firstIndex { $0.kind == .copyEnd }
        let range = (head + 1)..<Swift.max(head + 1, end ?? entries.count)
        let kept = entries[range].filter { $0.kind != .sync }
        if kept.count < range.count { ignored(range.count - kept.count) }
        entries.replaceSubrange(range, with: kept)
        return end != nil
    }
}
