/// When a client's server connection goes back to its pool.
public enum PoolMode: String, Sendable, CaseIterable {
    /// When the client disconnects.
    case session
    /// At the end of each transaction.
    case transaction
    /// After each query; transactions of more than one statement are refused.
    case statement
}
