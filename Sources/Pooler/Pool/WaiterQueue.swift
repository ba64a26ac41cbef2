import NIOCore

/// A client that waits for a server connection.
struct Waiter: Equatable, Sendable {
    /// Grows with each wait: who is smaller has waited longer.
    var ticket: UInt64
    var since: NIODeadline
}

/// Those who wait on one event loop, oldest first.
struct WaiterQueue: Sendable {
    private var waiters: [Waiter] = []
    /// What is before has been taken; cut off when it is half of the array.
    private var head = 0

    var count: Int { waiters.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Waiter? { head < waiters.count ? waiters[head] : nil }

    mutating func append(_ waiter: Waiter) {
        assert(waiters.last.map { $0.ticket < waiter.ticket } ?? true, "tickets grow")
        waiters.append(waiter)
    }

    mutating func popFirst() -> Waiter? {
        guard let first else { return nil }
        head += 1
        if head * 2 > waiters.count {
            waiters.removeFirst(head)
            head = 0
        }
        return first
    }

    /// Takes one out of the middle.
    /// - Returns: `false` when it is not here (any more).
    mutating func remove(_ ticket: UInt64) -> Bool {
        var (low, high) = (head, waiters.count)
        while low < high {
            let middle = (low + high) / 2
            if waiters[middle].ticket < ticket { low = middle + 1 } else { high = middle }
        }
        guard low < waiters.count, waiters[low].ticket == ticket else { return false }
        waiters.remove(at: low)
        return true
    }

    /// Nobody was served for so long, and that is not their wait.
    mutating func postpone(by time: TimeAmount) {
        for index in waiters.indices { waiters[index].since = waiters[index].since + time }
    }

    mutating func removeAll() -> [Waiter] {
        defer { (waiters, head) = ([], 0) }
        return Array(waiters[head...])
    }
}
