import HTTPSemantics
import Testing

@testable import Edge

@Suite struct BalancingKeyTests {
    private func key(
        _ fields: [String] = [], by key: UpstreamGroup.HashKey, target: String = "/", client: String = "10.0.0.1"
    ) throws -> UInt64? {
        BalancingKey.hash(try .get(target, fields), clientAddress: Array(client.utf8), .consistentHash(key))
    }

    @Test func `only a group that is balanced by keys has one`() throws {
        #expect(BalancingKey.hash(try .get(), clientAddress: [1], .roundRobin) == nil)
    }

    @Test func `clients and targets are their own keys`() throws {
        #expect(try key(by: .client) == key(by: .client, target: "/other"))
        #expect(try key(by: .client) != key(by: .client, client: "10.0.0.2"))
        #expect(try key(by: .target, target: "/a?b") != key(by: .target, target: "/a?c"))
    }

    @Test func `a field is found in any case, and its absence is no key`() throws {
        #expect(try key(["x-tenant: seven"], by: .field("X-Tenant")) == key(["X-TENANT:  seven "], by: .field("x-tenant")))
        #expect(try key(["X-Tenant: 8"], by: .field("X-Tenant")) != key(["X-Tenant: 7"], by: .field("X-Tenant")))
        #expect(try key(["X-Tenan: 8"], by: .field("X-Tenant")) == nil)
        #expect(try key(["X-Tenant:"], by: .field("X-Tenant")) == nil)
    }

    @Test func `a cookie is found among others, by its whole name`() throws {
        let wanted = try key(["Cookie: sid=42"], by: .cookie("sid"))
        #expect(wanted != nil)
        #expect(try key(["Cookie: a=b; sid=42; c=d"], by: .cookie("sid")) == wanted)
        #expect(try key(["Cookie: a=b", "Cookie: sid=42"], by: .cookie("sid")) == wanted)
        #expect(try key(["Cookie: xsid=1; sid=42"], by: .cookie("sid")) == wanted)
        for text in ["", "sid", "sid=", "sidx=42", "SID=42", "=42", ";;;", "a=sid=42"] {
            #expect(try key(["Cookie: \(text)"], by: .cookie("sid")) == nil, "\(text)")
        }
    }
}
