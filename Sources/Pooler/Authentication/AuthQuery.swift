import NIOCore

/// Asking the database for a user's password: the query, what its answer means, and how long it is believed.
///
/// As in PgBouncer the query gets the user's name as `$1` and gives a row of name and password, or none.
/// - Source: pgbouncer.org, "auth_query".
enum AuthQuery {
    /// PgBouncer's default since 1.24.
    static let standard =
        "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE rolname=$1 AND rolcanlogin"

    enum Answer: Sendable, Equatable {
        case found(StoredPassword)
        /// There is no such user, or he has no password.
        case none
        /// The query gives something else than it should: an operator's mistake.
        case unusable(Unusable)
    }

    /// The raw value is the word in the log.
    enum Unusable: String, Sendable {
        /// It has not two columns.
        case columns
        /// It gave a second row.
        case rows
        /// It gave another user's row.
        case otherUser
        /// It gave a password that is too long, or is no UTF-8.
        case password
    }

    /// - Parameter rows: what the query gave, `nil` for NULL. The caller stops reading after the second row.
    static func answer(user: String, rows: [[[UInt8]?]]) -> Answer {
        guard let row = rows.first else { return .none }
        guard rows.count == 1 else { return .unusable(.rows) }
        guard row.count == 2 else { return .unusable(.columns) }
        guard let name = row[0], name.elementsEqual(user.utf8) else { return .unusable(.otherUser) }
        guard let password = row[1], !password.isEmpty else { return .none }
        guard let text = String(validating: password, as: UTF8.self), let stored = StoredPassword(text) else { return .unusable(.password) }
        return .found(stored)
    }
}

/// What the database said of users, for a short while: so that a storm of logins does not become a storm of queries.
///
/// Bounded: when it is full, the oldest answer goes. That a user does not exist is remembered too, but only as long.
struct AuthQueryAnswers: Sendable {
    private struct Entry {
        var answer: StoredPassword?
        var expiry: NIODeadline
    }

    private let countMax: Int
    private let lifetime: TimeAmount
    private var entries: [Key: Entry] = [:]
    /// In the order of their arrival, which is that of their expiry. A name that came anew is in it once more.
    private var order: [(key: Key, expiry: NIODeadline)] = []
    private var head = 0

    struct Key: Hashable, Sendable {
        var database: String
        var user: String
    }

    init(countMax: Int = 10_000, lifetime: TimeAmount = .seconds(10)) {
        self.countMax = max(1, countMax)
        self.lifetime = lifetime
    }

    var count: Int { entries.count }
    /// For tests: what the order holds.
    var rememberedOrderCount: Int { order.count }

    /// - Returns: `nil` when the database has to be asked; `.some(nil)` when there is no such user.
    func find(_ key: Key, now: NIODeadline) -> StoredPassword?? {
        guard let entry = entries[key], entry.expiry > now else { return nil }
        return .some(entry.answer)
    }

    mutating func answered(_ key: Key, _ answer: StoredPassword?, now: NIODeadline) {
        while let oldest = order[safe: head], oldest.expiry <= now || entries.count >= countMax || order.count - head >= 2 * countMax {
            head += 1
            if entries[oldest.key]?.expiry == oldest.expiry { entries[oldest.key] = nil }
        }
        if head > 64, head * 2 > order.count {
            order.removeFirst(head)
            head = 0
        }
        let expiry = now + lifetime
        entries[key] = Entry(answer: answer, expiry: expiry)
        order.append((key, expiry))
    }

    /// Forgets a user: his password did not fit, perhaps because it is a new one.
    mutating func refused(_ key: Key) {
        entries[key] = nil
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { index < count ? self[index] : nil }
}
