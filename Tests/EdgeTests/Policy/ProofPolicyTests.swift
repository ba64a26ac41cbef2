import HTTPSemantics
import Testing

@testable import Edge

@Suite struct ProofPolicyTests {
    private static let secret = "a secret of sixteen or more"
    private static let now: Int64 = 1_764_374_400

    private func policy(_ change: (inout ProofConfiguration) -> Void = { _ in }) -> ProofPolicy {
        var configuration = ProofConfiguration()
        configuration.secret = Self.secret
        change(&configuration)
        return ProofPolicy(configuration)
    }

    private func judged(
        _ value: String?, _ policy: ProofPolicy, from peer: String = "127.0.0.1", seconds: Int64 = Self.now
    ) -> Result<ProofPolicy.Verdict, ProofRefusal> {
        var policy = policy
        return policy.judge(value.map { Array($0.utf8) }, from: ClientIdentity(peer: peer), seconds: seconds)
    }

    private func signed(_ layers: EdgeLayers = [.responseCache, .brotli], secret: String = Self.secret, seconds: Int64 = Self.now) -> String {
        ProofField.value(without: layers, secret: secret, seconds: seconds)
    }

    @Test func `what the secret has signed switches the layers that it names, and is answered so that the signer knows the edge`() throws {
        let verdict = try judged(signed(), policy()).get()
        #expect(verdict.without == [.responseCache, .brotli])
        #expect(verdict.answer == ProofField.answer(to: signed(), without: [.responseCache, .brotli], secret: Self.secret))
        #expect(verdict.answer != ProofField.answer(to: signed(), without: [.responseCache, .brotli], secret: "another secret, as long"))
        #expect(try judged(signed([]), policy()).get().without == [])
    }

    @Test func `another secret, other layers and another time are no signature`() {
        let right = signed()
        #expect(judged(signed(secret: "another secret, as long"), policy()) == .failure(.signature))
        #expect(judged(right.replacing("response-cache+br", with: "br"), policy()) == .failure(.signature))
        #expect(judged(right.replacing("\(Self.now)", with: "\(Self.now + 1)"), policy()) == .failure(.signature))
        // An answer is no request.
        let answer = ProofField.answer(to: right, without: [.brotli], secret: Self.secret)
        #expect(judged("\(Self.now);\(answer)", policy()) == .failure(.signature))
    }

    @Test func `it holds for half a minute before and after, and not when it is used again later`() throws {
        var policy = policy()
        for offset in [-ProofField.secondsMax, 0, ProofField.secondsMax] {
            #expect(throws: Never.self) { try judged(signed(), policy, seconds: Self.now + offset).get() }
        }
        #expect(judged(signed(), policy, seconds: Self.now + ProofField.secondsMax + 1) == .failure(.time))
        #expect(judged(signed(), policy, seconds: Self.now - ProofField.secondsMax - 1) == .failure(.time))
        // Also when it is the one that was right last.
        let value = Array(signed().utf8)
        _ = try policy.judge(value, from: ClientIdentity(peer: "127.0.0.1"), seconds: Self.now).get()
        #expect(policy.judge(value, from: ClientIdentity(peer: "127.0.0.1"), seconds: Self.now + ProofField.secondsMax + 1) == .failure(.time))
        #expect(policy.judge(value, from: ClientIdentity(peer: "192.0.2.1"), seconds: Self.now) == .failure(.client))
    }

    @Test func `without a secret nobody may, and from elsewhere nobody may`() {
        #expect(judged(signed(), policy { $0.secret = nil }) == .failure(.disabled))
        #expect(judged(signed(), policy(), from: "192.0.2.7") == .failure(.client))
        #expect(throws: Never.self) { try judged(signed(), policy { $0.clients = [AddressRange("192.0.2.0/24")!] }, from: "192.0.2.7").get() }
    }

    @Test(arguments: [
        "", ";", ";;", "1764374400;br", "1764374400;br;zz", "x;br;" + String(repeating: "a", count: 64), "-1;br;" + String(repeating: "a", count: 64),
        "99999999999999999999;br;" + String(repeating: "a", count: 64), "1764374400;everything;" + String(repeating: "a", count: 64),
        "1764374400;br;" + String(repeating: "A", count: 64), "1764374400;br;" + String(repeating: "a", count: 63),
        "1764374400;br;" + String(repeating: "a", count: 64) + ";", String(repeating: "a", count: 257), "\u{FFFD};\0;é",
    ])
    func `what is not written as it must be is malformed`(value: String) {
        #expect(judged(value, policy()) == .failure(.malformed))
    }

    @Test func `the largest time there is does not trap`() {
        #expect(judged("\(Int64.max);br;" + String(repeating: "a", count: 64), policy(), seconds: -Int64.max) == .failure(.time))
        #expect(judged(nil, policy()) == .failure(.malformed))
    }

    @Test(arguments: (0..<512).map(UInt16.init))
    func `layers go round trip through their words`(rawValue: UInt16) {
        let layers = EdgeLayers(rawValue: rawValue)
        #expect(EdgeLayers(text: layers.text) == layers)
    }

    @Test(arguments: ["", "br+", "+br", "BR", "none+br", "cache"]) func `other words are no layers`(text: String) {
        #expect(EdgeLayers(text: text) == nil)
    }

    @Test func `the field leaves the request, wherever it stands, and the others stay`() throws {
        var head = try RequestHead.get("/", ["A: 1", "headrace-proof: x", "B: 2", "Headrace-Proof: y"])
        #expect(head.fields.contains(.headraceProof))
        head.fields.removeLines(of: .headraceProof)
        #expect(!head.fields.contains(.headraceProof) && head.fields.lines.count == 3)
        #expect(head.fields.lines.indices.map { String(copying: head.fields.value(at: $0)) } == ["a.example", "1", "2"])
    }
}
