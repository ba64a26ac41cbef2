/// Which of a database's hosts may have its connections, by what a server says of itself at the login.
///
/// The raw value is the word of libpq's `target_session_attrs`. Servers before PostgreSQL 14 do not say; they are taken as they are.
/// - Source: PostgreSQL 15, "Parameter Key Words".
public enum TargetSession: String, Sendable, CaseIterable {
    case any
    /// No standby, and transactions are not read-only by default.
    case readWrite = "read-write"
    case readOnly = "read-only"
    case primary
    case standby
    /// A standby if there is one, else any.
    case preferStandby = "prefer-standby"

    /// - Parameters:
    ///   - reported: as ParameterStatus said it.
    ///   - isSecondRound: all hosts were tried once.
    func accepts(_ reported: [String: String], isSecondRound: Bool) -> Bool {
        let isStandby = reported["in_hot_standby"].map { $0 == "on" }
        let isReadOnly = reported["default_transaction_read_only"].map { $0 == "on" } ?? false
        guard let isStandby else { return true }
        switch self {
        case .any: return true
        case .readWrite: return !isStandby && !isReadOnly
        case .readOnly: return isStandby || isReadOnly
        case .primary: return !isStandby
        case .standby: return isStandby
        case .preferStandby: return isStandby || isSecondRound
        }
    }

    /// Whether a connection that was right may go on: a standby that is promoted says so.
    func keeps(_ reported: [String: String]) -> Bool {
        guard let isStandby = reported["in_hot_standby"].map({ $0 == "on" }) else { return true }
        switch self {
        case .any, .preferStandby, .readOnly: return true
        case .readWrite, .primary: return !isStandby
        case .standby: return isStandby
        }
    }

    /// Hosts are tried once, and once more where the first round was choosier.
    var rounds: Int { self == .preferStandby ? 2 : 1 }
}
