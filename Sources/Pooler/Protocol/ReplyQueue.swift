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
        /// A Close, unseen, of a statement whose plan is outdated; its Parse follows.
        case closeOutdated
        /// A Describe and a Sync of ours: see ``ServerSession/Repetition``.
        case describeUnseen, syncUnseen
        /// A Parse or Close of the client's that the server knows nothing of.
        case parseAnswered, closeAnswered
        /// A DEALLOCATE of a statement that has another name at the server.
        case deallocateAnswered
    }

    struct Entry: Equatable {
        var kind: Kind
        /// Of a Parse, a Bind, a Describe or a Close: whose. 0: the client's unnamed one, or not known. Of a Sync: the unnamed statement that its
        /// batch leaves behind for the next.
        var statement = 0

        /// Whether it changes what is prepared at the server under a name of ours.
        var changesStatements: Bool {
            guard statement != 0 else { return false }
            switch kind {
            case .parse, .parseUnseen, .closeUnseen, .closeOutdated: return true
            case .setup, .probe, .query, .functionCall, .bind, .describe, .execute, .close, .sync, .copyEnd, .describeUnseen, .syncUnseen,
                .parseAnswered, .closeAnswered, .deallocateAnswered:
                return false
            }
        }
    }

    /// Beyond, what is under way is not searched for one statement.
    static let searchedMax = 64

    private var entries: [Entry] = []
    private var head = 0
    /// Entries that change what is prepared at the server.
    private var changeCount = 0
    /// Of them, those before the last Sync.
    private var syncedChangeCount = 0
    /// Entries that parse the unnamed statement.
    private var unnamedParseCount = 0

    /// Whether a Parse of the unnamed statement is not answered yet.
    var parsesUnnamed: Bool { unnamedParseCount > 0 }

    var count: Int { entries.count - head }
    var isEmpty: Bool { head == entries.count }
    var first: Entry? { head < entries.count ? entries[head] : nil }

    mutating func append(_ kind: Kind, statement: Int = 0) {
        let entry = Entry(kind: kind, statement: statement)
        if statement != 0, entry.changesStatements { changeCount += 1 }
        if statement == 0, kind == .parse { unnamedParseCount += 1 }
        if kind == .sync { syncedChangeCount = changeCount }
        entries.append(entry)
    }

    mutating func removeFirst() {
        if changeCount > 0, entries[head].changesStatements {
            changeCount -= 1
            if syncedChangeCount > 0 { syncedChangeCount -= 1 }
        }
        if unnamedParseCount > 0, entries[head] == Entry(kind: .parse) { unnamedParseCount -= 1 }
        // Mostly there is one.
        if entries.count == 1 {
            entries.removeLast()
            return
        }
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

    var last: Entry? { head < entries.count ? entries.last : nil }

    /// Whether a batch that was sent, and may fail yet, changes a statement at the server: only its replies tell whether it is there.
    /// - Parameter statement: `nil`: any. With many messages under way it is any, too.
    func isUndecided(_ statement: Int?) -> Bool {
        // Asked for each message: with many under way nothing is searched.
        guard syncedChangeCount > 0 else { return false }
        guard let statement, count <= Self.searchedMax, let end = entries[head...].lastIndex(where: { $0.kind == .sync }) else { return true }
        return entries[head..<end].contains { $0.changesStatements && $0.statement == statement }
    }

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
    /// - Parameter ignored: told of each.
    /// - Returns: whether the end of the copy data was sent already, or something else, which ends it with an error.
    /// - Source: PostgreSQL 15, "Message Flow", COPY Operations.
    mutating func copyInBegan(_ ignored: (Entry) -> Void = { _ in }) -> Bool {
        // What the server does not see ends nothing.
        let end = entries[head...].dropFirst().firstIndex {
            $0.kind != .sync && $0.kind != .parseAnswered && $0.kind != .closeAnswered && $0.kind != .deallocateAnswered
        }
        let range = (head + 1)..<Swift.max(head + 1, end ?? entries.count)
        let kept = entries[range].filter { $0.kind != .sync }
        guard kept.count < range.count else { return end != nil }
        for entry in entries[range] where entry.kind == .sync { ignored(entry) }
        entries.replaceSubrange(range, with: kept)
        let synced = entries[head...].lastIndex { $0.kind == .sync } ?? head
        syncedChangeCount = entries[head..<synced].count { $0.changesStatements }
        return end != nil
    }
}
