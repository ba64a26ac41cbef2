import HTTPSemantics
import Testing

@testable import Edge

@Suite struct PurgePolicyTests {
    private func head(_ fields: [String] = [], target: String = "/a?b=1", method: String = "PURGE") throws -> RequestHead {
        try .parsed("\(method) \(target) HTTP/1.1", fields)
    }

    @Test func `the methods are known by their exact names`() throws {
        #expect(CacheMethod(try head()) == .purge)
        #expect(CacheMethod(try head(method: "EXPLAIN")) == .explain)
        for method in ["GET", "purge", "PURGED", "BAN", "PURG"] { #expect(CacheMethod(try head(method: method)) == nil) }
    }

    @Test(arguments: [
        ([], PurgeRequest.Kind.url), (["Surrogate-Key: a b"], .tags), (["xkey: a"], .tags), (["Cache-Tag: a, b"], .tags), (["Headrace-Purge: prefix"], .prefix),
        (["Headrace-Purge: ALL"], .all), (["Headrace-Purge-Regex: ^/a"], .regex), (["Headrace-Purge: url"], .url),
    ])
    func `what is to be purged is in the fields`(fields: [String], kind: PurgeRequest.Kind) throws {
        #expect(try PurgeRequest(head(fields)).kind == kind)
    }

    @Test(arguments: [
        ["Headrace-Purge: prefix", "Surrogate-Key: a"], ["Headrace-Purge: everything"], ["Headrace-Purge-Regex: ("],
        ["Headrace-Purge-Regex: a", "Headrace-Purge: all"],
        ["Surrogate-Key: " + (0...DependencyTags.countMax).map { "t\($0)" }.joined(separator: " ")],
    ])
    func `what cannot be understood is malformed, and purges nothing`(fields: [String]) throws {
        #expect(throws: PurgeRefusal.malformed) { try PurgeRequest(head(fields)) }
    }

    @Test(arguments: ["Headrace-Soft-Purge: 1", "Fastly-Soft-Purge: 1", "fastly-soft-purge: true"])
    func `a soft purge says so`(field: String) throws {
        #expect(try PurgeRequest(head([field])).isSoft)
        #expect(try !PurgeRequest(head(["Fastly-Soft-Purge: 0"])).isSoft)
    }

    @Test func `a pattern is for the request's host, another, or all`() throws {
        func host(_ fields: [String]) throws -> String? {
            guard case .ban(let rule) = try PurgeRequest(head(["Headrace-Purge: all"] + fields)).what else { return "" }
            return rule.host.map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(try host([]) == "a.example")
        #expect(try host(["Headrace-Purge-Host: B.example"]) == "b.example")
        #expect(try host(["Headrace-Purge-Host: *"]) == nil)
    }

    private func refusal(_ fields: [String], from peer: String = "192.0.2.7", token: String? = nil, clients: [String] = []) throws -> PurgeRefusal? {
        var configuration = PurgeConfiguration()
        configuration.token = token
        configuration.clients = clients.compactMap { AddressRange($0) }
        return PurgeRequest.refusal(try head(fields), from: ClientIdentity(peer: peer), configuration)
    }

    @Test func `nobody may purge where nothing is configured, this machine neither`() throws {
        #expect(try refusal([]) == .disabled)
        #expect(try refusal(["Headrace-Key: "], from: "127.0.0.1") == .disabled)
    }

    @Test(arguments: ["Headrace-Key: hush", "Fastly-Key: hush", "Authorization: Bearer hush"])
    func `a token opens, in any of the three ways`(field: String) throws {
        #expect(try refusal([field], token: "hush") == nil)
        #expect(try refusal([field], token: "other") == .token)
        #expect(try refusal([field], token: "hus") == .token)
        #expect(try refusal([field + "x"], token: "hush") == .token)
        #expect(try refusal([], token: "hush") == .token)
    }

    @Test func `a network opens alone, and with a token both are asked for`() throws {
        #expect(try refusal([], clients: ["192.0.2.0/24"]) == nil)
        #expect(try refusal([], from: "198.51.100.1", clients: ["192.0.2.0/24"]) == .client)
        #expect(try refusal([], token: "hush", clients: ["192.0.2.0/24"]) == .token)
        #expect(try refusal(["Headrace-Key: hush"], from: "198.51.100.1", token: "hush", clients: ["192.0.2.0/24"]) == .client)
        #expect(try refusal(["Headrace-Key: hush"], token: "hush", clients: ["192.0.2.0/24"]) == nil)
    }
}
