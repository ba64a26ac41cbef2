import NIOCore
import PostgresWire
import Testing

@testable import Pooler

/// Conversations between `ClientLogin` and the client's machines of PostgresWire.
@Suite struct ClientLoginTests {
    private static let password = Array("pencil".utf8)
    private static let randomness = ClientLogin.Randomness(
        md5Salt: [1, 2, 3, 4], scramSalt: Array(repeating: 5, count: 16), nonce: "server", pretenceKey: [7])

    private func secret() throws -> SCRAMSecret {
        let derivation = try #require(SCRAMKeyDerivation(password: Self.password, salt: [1, 2, 3], iterations: 2))
        return SCRAMSecret(derivation, keys: derivation.run())
    }

    private func login(_ method: AuthenticationMethod, _ change: (inout ClientLogin.Applicant) -> Void = { _ in }) -> ClientLogin {
        var applicant = ClientLogin.Applicant(
            client: HostRules.Client(user: "app", database: "shop", address: IPAddress("127.0.0.1"), hasTLS: false))
        change(&applicant)
        return ClientLogin(applicant, method: .fixed(method), randomness: Self.randomness)
    }

    private func payload(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var buffer = ByteBuffer()
        write(&buffer)
        buffer.moveReaderIndex(forwardBy: 5)
        return buffer
    }

    /// Plays the client until it is let in or refused.
    private func play(_ login: inout ClientLogin, stored: StoredPassword?, password: [UInt8], channel: SCRAMClient.ChannelBinding = .none) throws
        -> ClientLogin.Action
    {
        var client = SCRAMClient(.password(password), channelBinding: channel, nonce: "client")
        var action = login.started()
        while true {
            switch action {
            case .lookUp(let user):
                #expect(user == "app")
                action = login.passwordFound(stored)
            case .derive(let derivation): action = login.keysDerived(derivation.run())
            case .ask(.cleartextPassword):
                action = login.passwordMessageReceived(payload { PasswordPayload.writePassword(password, to: &$0) })
            case .ask(.md5Password(let salt)):
                let response = MD5Password(password: password, user: "app").response(salt: salt)
                action = login.passwordMessageReceived(payload { PasswordPayload.writePassword(Array(response.utf8), to: &$0) })
            case .ask(.sasl(let mechanisms)):
                let (mechanism, first) = try client.mechanismsOffered(mechanisms)
                action = login.passwordMessageReceived(payload { PasswordPayload.writeSASLInitial(mechanism: mechanism, first, to: &$0) })
            case .ask(.saslContinue(let message)):
                guard case .derive(let derivation) = try client.serverFirstReceived(message) else { return action }
                let response = try client.keysDerived(derivation.run())
                action = login.passwordMessageReceived(payload { PasswordPayload.writeSASLResponse(response, to: &$0) })
            case .ask: return action
            case .accept(_, let last):
                if case .saslFinal(let message)? = last { try client.serverFinalReceived(message) }
                return action
            case .refuse: return action
            }
        }
    }

    private func isAccepted(_ action: ClientLogin.Action) -> Bool {
        if case .accept = action { true } else { false }
    }

    @Test(arguments: [AuthenticationMethod.password, .md5, .scramSHA256])
    func `the right password is let in, a wrong one is not, whatever is on file`(method: AuthenticationMethod) throws {
        let stored: [StoredPassword?] = [
            .plain(Self.password), .md5(MD5Password(password: Self.password, user: "app")), .scram(try secret()), nil,
        ]
        for known in stored {
            var login = login(method)
            var isPossible = known != nil
            if case .md5? = known, method == .scramSHA256 { isPossible = false }
            let action = try play(&login, stored: known, password: Self.password)
            #expect(isAccepted(action) == isPossible, "\(method) with \(String(describing: known)): \(action)")
            if !isPossible { #expect(action == .refuse(.passwordWrong)) }
            var other = self.login(method)
            #expect(try play(&other, stored: known, password: Array("pencils".utf8)) == .refuse(.passwordWrong))
        }
    }

    @Test func `a login leaves what the server's login needs`() throws {
        var first = login(.scramSHA256)
        guard case .accept(.scramKeys(let keys)?, .saslFinal?) = try play(&first, stored: .scram(try secret()), password: Self.password)
        else { return #expect(Bool(false), "the client's keys are not passed on") }
        #expect(keys.storedKey == (try secret().storedKey))

        var second = login(.password)
        #expect(try play(&second, stored: .scram(try secret()), password: Self.password) == .accept(.password(Self.password), last: nil))

        let stored = MD5Password(password: Self.password, user: "app")
        var third = login(.md5)
        #expect(try play(&third, stored: .md5(stored), password: Self.password) == .accept(.md5(stored), last: nil))
    }

    @Test func `md5 asks for SCRAM where a secret is stored`() throws {
        var login = login(.md5)
        _ = login.started()
        #expect(login.passwordFound(.scram(try secret())) == .ask(.sasl(mechanisms: ["SCRAM-SHA-256"])))
    }

    @Test func `a secret that was made before is not made again`() throws {
        var login = login(.scramSHA256)
        _ = login.started()
        #expect(login.passwordFound(.plain(Self.password), secret: try secret()) == .ask(.sasl(mechanisms: ["SCRAM-SHA-256"])))
    }

    @Test func `over TLS the channel is bound`() throws {
        var login = login(.scramSHA256) { $0.channelBinding = [1, 2, 3] }
        #expect(isAccepted(try play(&login, stored: .scram(try secret()), password: Self.password, channel: .require([1, 2, 3]))))
        var other = self.login(.scramSHA256) { $0.channelBinding = [1, 2, 3] }
        #expect(
            try play(&other, stored: .scram(try secret()), password: Self.password, channel: .require([9])) == .refuse(.channelBinding))
    }

    @Test func `trust, reject, cert and peer ask for nothing`() {
        var trusted = login(.trust)
        #expect(trusted.started() == .lookUp(user: "app"))
        #expect(trusted.passwordFound(nil) == .accept(nil, last: nil))
        var known = login(.trust)
        _ = known.started()
        #expect(known.passwordFound(.plain(Self.password)) == .accept(.password(Self.password), last: nil))
        var rejected = login(.reject)
        #expect(rejected.started() == .refuse(.rejected))
        var without = login(.cert)
        #expect(without.started() == .refuse(.certificateMissing))
        var other = login(.cert) { $0.certificateName = "root" }
        #expect(other.started() == .refuse(.certificateOfAnother))
        var own = login(.cert) { $0.certificateName = "app" }
        #expect(own.started() == .lookUp(user: "app"))
        var stranger = login(.peer) { $0.peerName = nil }
        #expect(stranger.started() == .refuse(.peerIsAnother))
        var peer = login(.peer) { $0.peerName = "app" }
        #expect(peer.started() == .lookUp(user: "app"))
    }

    @Test func `nothing is drawn at random for who has nothing to prove, and once for who has`() {
        final class Count {
            var value = 0
        }
        let drawn = Count()
        func draw() -> ClientLogin.Randomness {
            drawn.value += 1
            return Self.randomness
        }
        let applicant = ClientLogin.Applicant(
            client: HostRules.Client(user: "app", database: "shop", address: IPAddress("127.0.0.1"), hasTLS: false))
        var trusted = ClientLogin(applicant, method: .fixed(.trust), randomness: draw())
        _ = trusted.started()
        #expect(trusted.passwordFound(.plain(Self.password)) == .accept(.password(Self.password), last: nil))
        #expect(drawn.value == 0)
        var asked = ClientLogin(applicant, method: .fixed(.md5), randomness: draw())
        _ = asked.started()
        #expect(asked.passwordFound(.plain(Self.password)) == .ask(.md5Password(salt: [1, 2, 3, 4])))
        _ = asked.passwordMessageReceived(payload { PasswordPayload.writePassword(Array("wrong".utf8), to: &$0) })
        #expect(drawn.value == 1)
    }

    @Test func `rules decide on the method`() throws {
        let rules = try HostRules("host shop app 127.0.0.0/8 trust\nhost all all all reject")
        let applicant = ClientLogin.Applicant(
            client: HostRules.Client(user: "app", database: "shop", address: IPAddress("127.0.0.1"), hasTLS: false))
        var inside = ClientLogin(applicant, method: .rules(rules), randomness: Self.randomness)
        #expect(inside.started() == .lookUp(user: "app"))
        var elsewhere = applicant
        elsewhere.client.database = "other"
        var rejected = ClientLogin(elsewhere, method: .rules(rules), randomness: Self.randomness)
        #expect(rejected.started() == .refuse(.rejected))
        elsewhere.client.address = nil
        var none = ClientLogin(elsewhere, method: .rules(rules), randomness: Self.randomness)
        #expect(none.started() == .refuse(.noRule))
    }

    @Test(arguments: [[], [65], [0], [65, 0, 0], [0, 0, 0, 0, 0], Array(repeating: UInt8(255), count: 100)])
    func `malformed answers are refused in every state`(bytes: [UInt8]) throws {
        for method in [AuthenticationMethod.password, .md5, .scramSHA256] {
            var login = login(method)
            #expect(!isAccepted(login.passwordMessageReceived(ByteBuffer(bytes: bytes))))
            var second = self.login(method)
            _ = second.started()
            #expect(!isAccepted(second.passwordMessageReceived(ByteBuffer(bytes: bytes))))
            var third = self.login(method)
            _ = third.started()
            _ = third.passwordFound(method == .scramSHA256 ? .scram(try secret()) : .plain(Self.password))
            guard case .refuse = third.passwordMessageReceived(ByteBuffer(bytes: bytes)) else {
                Issue.record("\(bytes) is taken by \(method)")
                continue
            }
            // Once refused, for ever.
            #expect(third.passwordMessageReceived(payload { PasswordPayload.writePassword(Self.password, to: &$0) }) == .refuse(.messageUnexpected))
        }
    }

    @Test(arguments: LoginRefusal.allCases)
    func `every refusal has a state and a sentence`(refusal: LoginRefusal) {
        #expect(["28000", "28P01", "08P01"].contains(refusal.sqlState))
        let client = HostRules.Client(user: "app", database: "shop", address: nil, hasTLS: true)
        #expect(!refusal.message(for: client).isEmpty)
    }
}
