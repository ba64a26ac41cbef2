import Synchronization

/// `CLIENT PAUSE`: until when commands are kept waiting, and which.
final class ClientPause: Sendable {
    private let end = Atomic<Int64>(0)
    private let isForWrites = Atomic(false)

    func begin(until deadline: Int64, isForWrites: Bool) {
        self.isForWrites.store(isForWrites, ordering: .relaxed)
        end.store(deadline, ordering: .releasing)
    }

    func finish() { end.store(0, ordering: .releasing) }

    /// Whether anything is to wait at all; asked once per turn.
    @inline(__always)
    func isOn(now: Int64) -> Bool { end.load(ordering: .relaxed) > now }

    func concerns(_ command: Command?) -> Bool {
        guard isForWrites.load(ordering: .relaxed) else { return command?.name != "client" }
        return command.map { $0.flags.contains(.write) || Self.mayWrite.contains($0.name) } ?? false
    }

    /// No writes by themselves, but what may lead to some, or is passed on as they are.
    private static let mayWrite: Set<String> = ["exec", "eval", "evalsha", "publish", "spublish"]
}
