import NIOCore
import PostgresWire

/// Where clients' passwords are looked up: the operator's file first, then what the database said.
///
/// A value behind a lock, shared by all event loops. Secrets made of plain passwords are kept, so that 4,096 iterations are paid once
/// per user and not once per login.
struct Credentials: Sendable {
    enum Found: Sendable, Equatable {
        /// - Parameter secret: made earlier of the same plain password.
        case password(StoredPassword, secret: SCRAMSecret?)
        /// There is no such user, or he has no password.
        case none
        /// Run the `auth_query`, then call ``answered(_:_:now:)``.
        case ask
    }

    private var list: UserList
    private let asksDatabase: Bool
    private var answers: AuthQueryAnswers
    /// By the plain password, at most one per user of the list and per answer.
    private var secrets: [[UInt8]: SCRAMSecret] = [:]

    init(list: UserList, asksDatabase: Bool, answers: AuthQueryAnswers = AuthQueryAnswers()) {
        self.list = list
        self.asksDatabase = asksDatabase
        self.answers = answers
    }

    /// For tests.
    var secretsCount: Int { secrets.count }

    /// What the file says goes first, also when it says that the user has no password.
    func find(_ key: AuthQueryAnswers.Key, now: NIODeadline) -> Found {
        if let listed = list.passwords[key.user] { return found(listed) }
        guard asksDatabase else { return .none }
        guard let answer = answers.find(key, now: now) else { return .ask }
        return found(answer)
    }

    private func found(_ password: StoredPassword?) -> Found {
        switch password {
        case nil: .none
        case .plain(let bytes)?: .password(.plain(bytes), secret: secrets[bytes])
        case let other?: .password(other, secret: nil)
        }
    }

    mutating func answered(_ key: AuthQueryAnswers.Key, _ answer: StoredPassword?, now: NIODeadline) {
        answers.answered(key, answer, now: now)
    }

    /// A secret was made of a plain password.
    mutating func derived(_ secret: SCRAMSecret, of password: [UInt8]) {
        // As many as there can be users with one; then anew, which costs a derivation each.
        if secrets.count >= max(list.passwords.count, 1) + answers.count { secrets = [:] }
        secrets[password] = secret
    }

    /// A password did not fit: if the database said what it should be, it is asked anew next time.
    mutating func refused(_ key: AuthQueryAnswers.Key) {
        answers.refused(key)
    }

    /// The operator's file has changed.
    mutating func reloaded(_ list: UserList) {
        self.list = list
        secrets = [:]
    }
}
