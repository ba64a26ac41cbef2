import TestSupport
import Testing

@testable import PostgresWire

/// The login of RFC 7677 §3.
private enum Example {
    static let password = Array("pencil".utf8)
    static let clientNonce = "rOprNGfwEbeRWgbNEkqO"
    static let serverNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    static let clientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    static let serverFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    static let clientFinal =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    static let serverFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

    static func derivation() throws -> SCRAMKeyDerivation {
        let salt = try #require(Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ==".utf8))
        return try #require(SCRAMKeyDerivation(password: password, salt: salt, iterations: 4096))
    }

    static func secret() throws -> SCRAMSecret {
        let derivation = try derivation()
        return SCRAMSecret(derivation, keys: derivation.run())
    }
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct SCRAMClientTests {
    private func client(_ binding: SCRAMClient.ChannelBinding = .none) -> SCRAMClient {
        SCRAMClient(.password(Example.password), channelBinding: binding, nonce: Example.clientNonce, userName: "user")
    }

    @Test func `the client says what RFC 7677 §3 says`() throws {
        var client = client()
        let (mechanism, first) = try client.mechanismsOffered(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
        #expect(mechanism == .sha256)
        #expect(first == bytes(Example.clientFirst))
        let action = try client.serverFirstReceived(bytes(Example.serverFirst))
        let derivation = try Example.derivation()
        #expect(action == .derive(derivation))
        let final = try client.keysDerived(derivation.run())
        #expect(String(decoding: final, as: UTF8.self) == Example.clientFinal)
        #expect(!client.isVerified)
        try client.serverFinalReceived(bytes(Example.serverFinal))
        #expect(client.isVerified)
    }

    @Test func `with keys nothing is derived`() throws {
        let keys = try Example.derivation().run()
        var client = SCRAMClient(.keys(keys), nonce: Example.clientNonce, userName: "user")
        _ = try client.mechanismsOffered(["SCRAM-SHA-256"])
        #expect(try client.serverFirstReceived(bytes(Example.serverFirst)) == .respond(bytes(Example.clientFinal)))
    }

    @Test func `names are written as saslname`() throws {
        var client = SCRAMClient(.password([]), nonce: "n", userName: "a=b,c")
        #expect(try client.mechanismsOffered(["SCRAM-SHA-256"]).response == bytes("n,,n=a=3Db=2Cc,r=n"))
    }

    @Test(arguments: [
        (SCRAMClient.ChannelBinding.none, ["SCRAM-SHA-256"], SCRAMMechanism.sha256, "n,,"),
        (.none, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"], .sha256, "n,,"),
        (.prefer([1]), ["SCRAM-SHA-256"], .sha256, "y,,"),
        (.prefer([1]), ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"], .sha256Plus, "p=tls-server-end-point,,"),
        (.require([1]), ["SCRAM-SHA-256-PLUS"], .sha256Plus, "p=tls-server-end-point,,"),
    ])
    func `the mechanism follows the offer and the binding`(
        binding: SCRAMClient.ChannelBinding, offer: [String], mechanism: SCRAMMechanism, header: String
    ) throws {
        var client = client(binding)
        let first = try client.mechanismsOffered(offer)
        #expect(first.mechanism == mechanism)
        #expect(first.response.starts(with: header.utf8))
    }

    @Test(arguments: [
        (SCRAMClient.ChannelBinding.none, ["SCRAM-SHA-256-PLUS"], SCRAMError.mechanismUnknown),
        (.none, [], .mechanismUnknown), (.none, ["SCRAM-SHA-1"], .mechanismUnknown),
        (.require([1]), ["SCRAM-SHA-256"], .channelBindingUnavailable),
    ])
    func `an offer without a mechanism for us is refused`(binding: SCRAMClient.ChannelBinding, offer: [String], error: SCRAMError) {
        var client = client(binding)
        #expect(throws: error) { try client.mechanismsOffered(offer) }
    }

    @Test(arguments: [
        ("", SCRAMError.messageMalformed), ("r", .messageMalformed), ("r=", .nonceMismatch),
        ("r=rOprNGfwEbeRWgbNEkqO,s=QQ==,i=4096", .nonceMismatch),
        ("r=xOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=4096", .nonceMismatch),
        ("r=rOprNGfwEbeRWgbNEkqO x,s=QQ==,i=4096", .nonceMismatch),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=,i=4096", .saltInvalid), ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ=,i=4096", .saltInvalid),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QR==,i=4096", .saltInvalid),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=0", .iterationsOutOfBounds),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=1000001", .iterationsOutOfBounds),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=99999999999999999999", .iterationsOutOfBounds),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=-1", .iterationsOutOfBounds),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=01", .iterationsOutOfBounds),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==", .messageMalformed), ("r=rOprNGfwEbeRWgbNEkqOabc,i=1,s=QQ==", .messageMalformed),
        ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=1,", .messageMalformed), ("r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=1,1=x", .messageMalformed),
        ("m=x,r=rOprNGfwEbeRWgbNEkqOabc,s=QQ==,i=1", .extensionUnknown),
    ])
    func `a server's first message is judged`(message: String, error: SCRAMError) throws {
        var client = client()
        _ = try client.mechanismsOffered(["SCRAM-SHA-256"])
        #expect(throws: error) { try client.serverFirstReceived(bytes(message)) }
        // And there is no way back.
        #expect(throws: SCRAMError.messageUnexpected) { try client.serverFirstReceived(bytes(Example.serverFirst)) }
    }

    @Test func `a million iterations are taken, and extensions passed over`() throws {
        let salt = String(repeating: "A", count: 340) + "AA=="
        let first = try SCRAMServerFirst(bytes("r=ab,s=\(salt.dropFirst(4)),i=1000000,x=y"))
        #expect(first.iterations == 1_000_000)
        #expect(first.salt.count == 253)
        #expect(throws: SCRAMError.saltInvalid) { try SCRAMServerFirst(bytes("r=ab,s=\(String(repeating: "A", count: 344)),i=1")) }
    }

    @Test func `a message of 1024 bytes is read, one of 1025 is not`() throws {
        let padding = { (count: Int) in "r=ab,s=QQ==,i=1,x=" + String(repeating: "y", count: count - 18) }
        #expect(bytes(padding(1024)).count == 1024)
        #expect(try SCRAMServerFirst(bytes(padding(1024))).iterations == 1)
        #expect(throws: SCRAMError.messageTooLong) { try SCRAMServerFirst(bytes(padding(1025))) }
    }

    @Test(arguments: [
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", SCRAMError.messageMalformed),
        ("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", .serverSignatureWrong), ("v=", .serverSignatureWrong),
        ("e=other-error", .refusedByServer), ("", .messageMalformed),
    ])
    func `a server that cannot prove itself is refused`(message: String, error: SCRAMError) throws {
        var client = client()
        _ = try client.mechanismsOffered(["SCRAM-SHA-256"])
        _ = try client.serverFirstReceived(bytes(Example.serverFirst))
        _ = try client.keysDerived(Example.derivation().run())
        #expect(throws: error) { try client.serverFinalReceived(bytes(message)) }
        #expect(!client.isVerified)
    }

    @Test func `a server's last word before its first is refused`() throws {
        var client = client()
        #expect(throws: SCRAMError.messageUnexpected) { try client.serverFinalReceived(bytes(Example.serverFinal)) }
        #expect(throws: SCRAMError.messageUnexpected) { try client.keysDerived(Example.derivation().run()) }
    }
}

@Suite struct SCRAMServerTests {
    private func server(binding: [UInt8]? = nil, pretends: Bool = false) throws -> SCRAMServer {
        SCRAMServer(secret: try Example.secret(), isPretence: pretends, channelBinding: binding, nonce: Example.serverNonce)
    }

    @Test func `the server says what RFC 7677 §3 says, and learns the client's keys`() throws {
        var server = try server()
        #expect(server.mechanisms == [.sha256])
        let first = try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes(Example.clientFirst))
        #expect(String(decoding: first, as: UTF8.self) == Example.serverFirst)
        let proved = try server.responseReceived(bytes(Example.clientFinal))
        #expect(String(decoding: proved.message, as: UTF8.self) == Example.serverFinal)
        #expect(proved.keys == (try Example.derivation().run()))
    }

    @Test(arguments: [
        ("n,", SCRAMError.messageMalformed), ("", .messageMalformed), ("x,,n=,r=a", .messageMalformed), ("n,,", .messageMalformed),
        ("n,a=root,n=,r=a", .authorizationIdentity), ("n,,n=,r=", .nonceMismatch), ("n,,n=", .messageMalformed),
        ("n,,m=1,n=,r=a", .extensionUnknown), ("n,,n=,r=\u{7F}", .nonceMismatch), ("n,,r=a,n=", .messageMalformed),
        ("p=tls-server-end-point,,n=,r=a", .channelBindingMismatch), ("nn,,n=,r=a", .messageMalformed),
    ])
    func `a client's first message is judged`(message: String, error: SCRAMError) throws {
        var server = try server()
        #expect(throws: error) { try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes(message)) }
        #expect(throws: SCRAMError.messageUnexpected) {
            try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes(Example.clientFirst))
        }
    }

    @Test func `a mechanism that was not offered is refused`() throws {
        for name in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "", "scram-sha-256"] {
            var server = try server()
            #expect(throws: SCRAMError.mechanismUnknown) { try server.initialResponseReceived(mechanism: name, bytes(Example.clientFirst)) }
        }
    }

    @Test(arguments: [
        ("c=biwt,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", SCRAMError.channelBindingMismatch),
        ("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", .nonceMismatch),
        ("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", .proofWrong),
        ("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,x=y,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", .proofWrong),
        ("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzb", .messageMalformed),
        ("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", .messageMalformed),
        ("c=biws,r=a,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=y", .messageMalformed), ("", .messageMalformed),
        ("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", .messageMalformed),
    ])
    func `a client's proof is judged`(message: String, error: SCRAMError) throws {
        var server = try server()
        _ = try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes(Example.clientFirst))
        #expect(throws: error) { try server.responseReceived(bytes(message)) }
        #expect(throws: SCRAMError.messageUnexpected) { try server.responseReceived(bytes(Example.clientFinal)) }
    }

    @Test func `a pretence refuses even the right proof`() throws {
        var server = try server(pretends: true)
        _ = try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes(Example.clientFirst))
        #expect(throws: SCRAMError.proofWrong) { try server.responseReceived(bytes(Example.clientFinal)) }
    }

    @Test func `a client that was talked out of the binding is refused`() throws {
        var server = try server(binding: [1, 2])
        #expect(server.mechanisms == [.sha256Plus, .sha256])
        #expect(throws: SCRAMError.channelBindingDowngrade) {
            try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes("y,,n=,r=abc"))
        }
    }

    @Test(arguments: [([UInt8(1), 2, 3], [UInt8(1), 2, 3], true), ([1, 2, 3], [1, 2, 4], false), ([1, 2, 3], [], false)])
    func `client and server agree if they see the same channel`(ours: [UInt8], theirs: [UInt8], agree: Bool) throws {
        var server = try server(binding: ours)
        var client = SCRAMClient(.password(Example.password), channelBinding: .require(theirs), nonce: "abc")
        let (mechanism, initial) = try client.mechanismsOffered(server.mechanisms.map(\.rawValue))
        let first = try server.initialResponseReceived(mechanism: mechanism.rawValue, initial)
        guard case .derive(let derivation) = try client.serverFirstReceived(first) else { throw SCRAMError.messageUnexpected }
        let response = try client.keysDerived(derivation.run())
        guard agree else {
            #expect(throws: SCRAMError.channelBindingMismatch) { try server.responseReceived(response) }
            return
        }
        try client.serverFinalReceived(try server.responseReceived(response).message)
        #expect(client.isVerified)
    }

    @Test func `messages cut or changed anywhere are refused, and trap nobody`() throws {
        var random = SeededRandom(seed: 7677)
        for message in [Example.clientFirst, Example.clientFinal] {
            for cut in 0..<message.utf8.count {
                var changed = bytes(message)
                changed[cut] = UInt8.random(in: .min ... .max, using: &random)
                for attempt in [Array(bytes(message)[..<cut]), changed] where attempt != bytes(message) {
                    var server = try server()
                    do {
                        if message == Example.clientFinal {
                            _ = try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", bytes(Example.clientFirst))
                            _ = try server.responseReceived(attempt)
                            Issue.record("\(String(decoding: attempt, as: UTF8.self)) is taken for a proof")
                        } else {
                            _ = try server.initialResponseReceived(mechanism: "SCRAM-SHA-256", attempt)
                            // A shorter name or nonce is one, too; but the proof is over what was sent.
                            #expect(throws: SCRAMError.self) { try server.responseReceived(bytes(Example.clientFinal)) }
                        }
                    } catch {}
                }
            }
        }
    }
}

@Suite struct SCRAMSecretTests {
    /// What PostgreSQL 15.18 stored (`rolpassword`) for these passwords.
    static let stored: [(password: String, secret: String)] = [
        ("pencil", "SCRAM-SHA-256$4096:Uz0Q2Jn/7K1VFr6iTwgZPg==$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg="),
        ("Übergrößenträger ½ ﬁn", "SCRAM-SHA-256$4096:W6gGSpBJhJAenyqe7FWwgw==$3iHfsdFvXtQQ34bMLev5BFlsylSVl+xMmu1leokrQRA=:+iBuoyIMTBagoj1svnJ6wgONxTxBdzHXZI93kU8BVI8="),
        ("a\u{A0}b\u{AD}c", "SCRAM-SHA-256$4096:RVtm+dAUrlopa/tUpizNbw==$1M3F4flMv9Yug9kesNb+Sn9i/WTt/6Au2ygi/SoSvks=:6Xve5iyLR/U4Zr1vYzFOajLKYVicHRsoMcEqtHxLlNM="),
        ("\u{212A}\u{2168}", "SCRAM-SHA-256$4096:feB4EF7z+c3RYC/ftz6FAQ==$OxjfAouxo+F7nq7mdr66uKEF8KTXYGnTRR5TWSxMjHU=:ba9Vufq9FyVq/JTLJm73m5Z80HJzHaVDJpREHB/oY0w="),
        ("\u{627}1\u{628}", "SCRAM-SHA-256$4096:oGQp2TqiQamMVZQng6hImA==$QfFdbb/OHbShtk3nwJNo8HuH4flzsc+EjJGxt0GPhXM=:Zh8tsJUE1Li0lPsjzFrbUsCyIlCB5qAmbn1bsU3DRyg="),
        ("\u{627}a1", "SCRAM-SHA-256$4096:LPEZux23GacC5sljRW/FhQ==$Lv8RTvbanFhUMKe94/7EXaQ1dLQei5pgbAPc8v3eIl4=:DDR4A7FNmrfIf+576bDUI9SRWVAA6mhA5eV3wkzlfFQ="),
        ("x\u{221}y", "SCRAM-SHA-256$4096:xa35CRrg0XEAWrwkCdFuqw==$ozY6bBiNoBaXKqdzrQFV4IKTHIk200Z1luJ6hcxDwng=:O3z1VUlRo277SYsRDzCMwKxfvQkWvgk0Vl4wC8Fi/4A="),
        ("tab\tüx", "SCRAM-SHA-256$4096:3cC/frkDNhTF6bqfiJDRiQ==$QQiYK0z3bybjZS1dQDgJ+Gms72RxPbkGJIg8TpLMdCo=:aPeTmefdA3w7pM5JBSHGMCYthRVJRQXJWY0aWvAGSjc="),
        // In two tables of RFC 3454: PostgreSQL takes it for a space, not for nothing.
        ("a\u{200B}b", "SCRAM-SHA-256$4096:3ThI2B5J5UbagrHQ1pdovQ==$PSG5DSONKk51V5Gcg/W9hy4CZpiYjgT3gUqU7A012j0=:Kv64hyrYmK/3ZLSke/BLfuYz5mW8Tcf/OyEvkghOFA0="),
        ("🔑пароль", "SCRAM-SHA-256$4096:H8FFrhisvUI5scBmBV2khQ==$Y/GbfNqwc5RzqhDqu7KtPhpsO2rnTl1yWpNK5HXspwI=:d0EBwbPRiD8ap4+eByGRgfwhgDdB4nz8JopRAhZLIm8="),
    ]

    @Test(arguments: stored)
    func `a secret of PostgreSQL's is read, written and matched by its password alone`(password: String, text: String) throws {
        let secret = try #require(SCRAMSecret(text))
        #expect(secret.text == text)
        let keys = try #require(secret.derivation(of: bytes(password))).run()
        #expect(secret.matches(keys))
        #expect(!secret.matches(try #require(secret.derivation(of: bytes(password + "x"))).run()))
    }

    @Test(arguments: [
        "", "SCRAM-SHA-256", "SCRAM-SHA-256$4096:QQ==", "SCRAM-SHA-1$4096:QQ==$a:b", "md5b15721e6326bc6e9a7c72a38963ec03d",
        "SCRAM-SHA-256$0:Uz0Q2Jn/7K1VFr6iTwgZPg==$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg=",
        "SCRAM-SHA-256$1000001:Uz0Q2Jn/7K1VFr6iTwgZPg==$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg=",
        "SCRAM-SHA-256$4096:$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg=",
        "SCRAM-SHA-256$4096:QQ==$nOdo1TQd:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg=",
        "SCRAM-SHA-256$4096:QQ==$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:",
        "SCRAM-SHA-256$4096:QQ==$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg=$",
    ])
    func `other texts are no secrets`(text: String) {
        #expect(SCRAMSecret(text) == nil)
    }

    @Test func `who does not exist gets the same salt each time, another one than his neighbour`() {
        let key = [UInt8](repeating: 9, count: 32)
        let anna = SCRAMSecret(pretendingFor: "anna", key: key)
        #expect(anna == SCRAMSecret(pretendingFor: "anna", key: key))
        #expect(anna.salt.count == 16)
        #expect(anna.salt != SCRAMSecret(pretendingFor: "berta", key: key).salt)
        #expect(anna.salt != SCRAMSecret(pretendingFor: "anna", key: [1]).salt)
        #expect(SCRAMSecret(anna.text) == anna)
    }

    @Test func `derivations have bounds`() {
        #expect(SCRAMKeyDerivation(password: [], salt: [1], iterations: 1_000_000) != nil)
        #expect(SCRAMKeyDerivation(password: [], salt: [1], iterations: 1_000_001) == nil)
        #expect(SCRAMKeyDerivation(password: [], salt: [1], iterations: 0) == nil)
        #expect(SCRAMKeyDerivation(password: [], salt: [], iterations: 1) == nil)
        #expect(SCRAMKeys(clientKey: [1], serverKey: [2]) == nil)
    }

    @Test func `nonces are printable, long and never the same`() {
        let nonces = (0..<100).map { _ in SCRAMNonce.make() }
        #expect(Set(nonces).count == 100)
        #expect(nonces.allSatisfy { $0.utf8.count == 24 && SCRAMAttributes.isNonce($0.utf8) && !$0.contains(",") })
    }
}
