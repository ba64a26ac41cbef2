/// How clients of the pooler show who they are.
public struct AuthenticationConfiguration: Sendable, Equatable {
    /// For every client, unless there are ``rules``.
    public var method = AuthenticationMethod.trust
    /// Who may come in, from where, and how: in the place of ``method``.
    public var rules: HostRules?
    /// Users and their passwords.
    public var users = UserList()
    /// What is asked of the database where ``users`` has no line for a user: see ``AuthQuery``. `nil`: nothing.
    public var query: String?
    /// As whom it is asked.
    public var queryUser: String?
    /// Where; `nil`: in the database that the client wants.
    public var queryDatabase: String?
    /// Who may use the console. By default nobody: an operator has to be named.
    public var admins: [String] = []
    /// Who may look at the console's tables.
    public var observers: [String] = []

    public init() {}
}
