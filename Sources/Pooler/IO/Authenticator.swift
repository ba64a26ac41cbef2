import NIOCore
import NIOPosix
import PostgresWire
import Telemetry

/// What all event loops share of authentication: passwords, what was derived from them, and what logins left behind for servers.
final class Authenticator: Sendable {
    private let configuration: AuthenticationConfiguration
    private let credentials: Lock<Credentials>
    private let proved = Lock<[PoolMachine.PoolKey: ServerCredential]>([:])
    private let pretenceKey: [UInt8]

    /// What logins left behind, one for each pair of database and user; beyond, all are forgotten and come back with the next logins.
    private static let provedMax = 10_000

    init(_ configuration: AuthenticationConfiguration) {
        self.configuration = configuration
        credentials = Lock(Credentials(list: configuration.users, asksDatabase: configuration.query != nil))
        pretenceKey = RandomBytes.make(32)
    }

    /// Whether everybody is believed, so that there is nothing to a login: what is on file for a user's server connections is found there
    /// (``credential(for:)``).
    var believesAll: Bool { configuration.rules == nil && configuration.method == .trust }

    func login(_ applicant: ClientLogin.Applicant) -> ClientLogin {
        let method = configuration.rules.map { ClientLogin.Method.rules($0) } ?? .fixed(configuration.method)
        return ClientLogin(applicant, method: method, randomness: Self.randomness(self.pretenceKey))
    }

    func find(_ client: HostRules.Client, now: NIODeadline) -> Credentials.Found {
        credentials.withLock { $0.find(.init(database: client.database, user: client.user), now: now) }
    }

    /// The database has said what it knows of a user.
    func answered(_ client: HostRules.Client, _ password: StoredPassword?, now: NIODeadline) {
        credentials.withLock { $0.answered(.init(database: client.database, user: client.user), password, now: now) }
    }

    /// A password did not fit.
    func refused(_ client: HostRules.Client) {
        credentials.withLock { $0.refused(.init(database: client.database, user: client.user)) }
    }

    /// Keeps what was derived of a plain password that is on file.
    func derived(_ secret: SCRAMSecret, of password: [UInt8]) {
        credentials.withLock { $0.derived(secret, of: password) }
    }

    /// A client was let in: with what, its user's server connections may need to say too.
    func accepted(_ client: HostRules.Client, _ credential: ServerCredential) {
        proved.withLock { proved in
            if proved.count >= Self.provedMax { proved = [:] }
            proved[.init(database: client.database, user: client.user)] = credential
        }
    }

    /// What a server's login can be made with, for a pool without a password of its own.
    func credential(for pool: PoolMachine.PoolKey) -> ServerCredential? {
        if let credential = proved.withLock({ $0[pool] }) { return credential }
        return configuration.users.passwords[pool.user].flatMap { $0 }.flatMap(ClientLogin.credential)
    }

    private static func randomness(_ pretenceKey: [UInt8]) -> ClientLogin.Randomness {
        .init(md5Salt: RandomBytes.make(4), scramSalt: RandomBytes.make(16), nonce: SCRAMNonce.make(), pretenceKey: pretenceKey)
    }
}

/// One client's login on its event loop: carries ``ClientLogin``'s actions out. Not Sendable.
final class ClientAuthentication {
    enum Step {
        case send(ByteBuffer)
        /// Send this, then AuthenticationOk.
        case accept(ByteBuffer)
        case refuse(LoginRefusal)
    }

    private let authenticator: Authenticator
    private let client: HostRules.Client
    private let eventLoop: any EventLoop
    private let askDatabase: (HostRules.Client, @escaping (AuthQuery.Answer?) -> Void) -> Void
    private let perform: (Step) -> Void
    private var login: ClientLogin
    private var isEnded = false

    /// No message of a login is longer: SASL's have at most 1,024 bytes, passwords 2,048.
    private static let messageBytesMax = 4096

    /// - Parameters:
    ///   - askDatabase: asks it for the user's password; `nil` when that cannot be.
    ///   - perform: called on the event loop, perhaps before ``begin()`` or ``received(_:)`` returns; never while a message is taken.
    init(
        _ applicant: ClientLogin.Applicant, authenticator: Authenticator, eventLoop: any EventLoop,
        askDatabase: @escaping (HostRules.Client, @escaping (AuthQuery.Answer?) -> Void) -> Void = { $1(nil) },
        perform: @escaping (Step) -> Void
    ) {
        self.askDatabase = askDatabase
        self.authenticator = authenticator
        client = applicant.client
        self.eventLoop = eventLoop
        self.perform = perform
        login = authenticator.login(applicant)
    }

    func begin() { run(login.started()) }

    /// Takes the client's next message from the input, if it is there as a whole.
    /// - Returns: its payload, for ``received(_:)``.
    static func take(from input: inout ByteBuffer) throws(LoginRefusal) -> ByteBuffer? {
        switch MessageFraming.head(in: input, at: input.readerIndex) {
        case .incomplete: return nil
        case .malformed: throw .messageMalformed
        case .message(let head):
            guard head.kind == FrontendKind.password else { throw .messageUnexpected }
            guard head.bytes <= messageBytesMax else { throw .messageMalformed }
            guard var payload = input.readSlice(length: head.bytes) else { return nil }
            payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
            return payload
        }
    }

    func received(_ payload: ByteBuffer) {
        guard !isEnded else { return }
        run(login.passwordMessageReceived(payload))
    }

    /// The client is gone: what is still being computed is for nobody.
    func abandon() { isEnded = true }

    private func run(_ action: ClientLogin.Action) {
        switch action {
        case .lookUp:
            switch authenticator.find(client, now: .now()) {
            case .password(let password, let secret): run(login.passwordFound(password, secret: secret))
            case .ask where login.needsPassword:
                askDatabase(client) { [self] answer in
                    guard !isEnded else { return }
                    switch answer {
                    case .found(let password)?:
                        authenticator.answered(client, password, now: .now())
                        // With the secret that was made of it, if one was.
                        if case .password(_, let secret) = authenticator.find(client, now: .now()) {
                            return run(login.passwordFound(password, secret: secret))
                        }
                        run(login.passwordFound(password))
                    case .some(.none):
                        authenticator.answered(client, nil, now: .now())
                        run(login.passwordFound(nil))
                    case .unusable?, nil: run(login.passwordFound(nil))
                    }
                }
            case .none, .ask: run(login.passwordFound(nil))
            }
        case .derive(let derivation): derive(derivation)
        case .ask(let request):
            var bytes = ByteBuffer()
            request.write(to: &bytes)
            perform(.send(bytes))
        case .accept(let credential, let last):
            isEnded = true
            if let credential { authenticator.accepted(client, credential) }
            var bytes = ByteBuffer()
            last?.write(to: &bytes)
            perform(.accept(bytes))
        case .refuse(let refusal): refuse(refusal)
        }
    }

    func refuse(_ refusal: LoginRefusal) {
        isEnded = true
        if refusal == .passwordWrong { authenticator.refused(client) }
        perform(.refuse(refusal))
    }

    /// 4,096 rounds of SHA-256 take milliseconds: they are run where nobody waits for them.
    private func derive(_ derivation: SCRAMKeyDerivation) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { derivation.run() }.whenComplete { result in
            let authentication = bound.value
            guard !authentication.isEnded else { return }
            switch result {
            case .success(let keys):
                if authentication.login.isMakingSecret {
                    authentication.authenticator.derived(SCRAMSecret(derivation, keys: keys), of: derivation.password)
                }
                authentication.run(authentication.login.keysDerived(keys))
            case .failure: authentication.refuse(.messageUnexpected)
            }
        }
    }
}
