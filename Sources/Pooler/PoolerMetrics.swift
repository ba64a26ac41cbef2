import NIOCore
import Telemetry

/// The pooler's numbers for one event loop, which alone writes them; whoever reads sums over the loops.
final class PoolerMetrics: Sendable {
    let clients = Gauge()
    let clientLogins = Counter()
    /// Times that a server connection was given to a client.
    let leases = Counter()
    /// Transactions of server connections that are no client's: logins, parameters, resets, questions about sessions and passwords.
    let ownTransactions = Counter()
    let serverLogins = Counter()
    let serverLoginFailures = Counter()
    /// Server connections that came here from another event loop.
    let moves = Counter()
    let cancels = Counter()
    let waitsExpired = Counter()
    let clientsRefused = Counter()
    /// Clients that were cut for what they held while the process was short of memory.
    let memoryCuts = Counter()
    let bytesReceived = Counter()
    let bytesSent = Counter()
    /// Statements about session parameters that a lease needed.
    let parameterChanges = Counter()
    /// Times that a client kept its server connection at the end of a transaction that left something behind.
    let pins = Counter()
    let dedications = Counter()
    /// Questions to servers what their sessions hold.
    let probes = Counter()
    /// Server connections that were reset before another client got them.
    let resets = Counter()
    /// Notifications that came for listeners in transaction mode.
    let notifications = Counter()
    let waitTime = Histogram()
    /// Of the loop's own thread, in nanoseconds.
    let cpuTime = Gauge()

    func waited(_ time: TimeAmount) {
        waitTime.record(nanoseconds: UInt64(clamping: time.nanoseconds))
    }
}
