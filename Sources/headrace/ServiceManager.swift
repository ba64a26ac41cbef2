import Foundation

/// Who has started the process and wants to know how it is: systemd, with `Type=notify`.
///
/// A datagram for each word, on the socket that `NOTIFY_SOCKET` names; nobody waits for an answer, and what cannot be sent is left unsaid.
/// - Source: sd_notify(3), sd_watchdog_enabled(3).
struct ServiceManager: Sendable {
    private let address: UnixAddress
    /// How often it wants to hear that the process lives; `nil` for never.
    let watchdogInterval: Duration?

    /// - Returns: `nil` when nobody asks, or by a name that is none.
    init?(_ environment: [String: String]) {
        // A path, or a name in the abstract namespace, which begins with "@".
        guard let path = environment["NOTIFY_SOCKET"], path.hasPrefix("/") || path.hasPrefix("@"), let address = UnixAddress(path, isAbstract: true) else { return nil }
        self.address = address
        let isForUs = environment["WATCHDOG_PID"].map { Int32($0) == getpid() } ?? true
        watchdogInterval = isForUs ? environment["WATCHDOG_USEC"].flatMap { Int64($0) }.flatMap { $0 > 0 ? .microseconds($0) : nil } : nil
    }

    func ready(_ status: String) { tell("READY=1\nSTATUS=\(status)") }

    /// What ``reloaded(_:)`` ends.
    func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        tell("RELOADING=1\nMONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
    }

    func reloaded(_ status: String) { ready(status) }
    func stopping() { tell("STOPPING=1\nSTATUS=draining") }
    func lives() { tell("WATCHDOG=1") }

    private func tell(_ words: String) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let text = Array(words.utf8)
        _ = address.withPointer { sendto(descriptor, text, text.count, Int32(MSG_NOSIGNAL), $0, $1) }
    }
}
