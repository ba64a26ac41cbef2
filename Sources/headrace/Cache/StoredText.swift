import Foundation

/// What an edge says of its cache, for people: the answer to `EXPLAIN`.
enum StoredText {
    private struct Document: Decodable {
        struct Key: Decodable {
            var host: String
            var target: String
            var more: String
        }

        struct Coding: Decodable {
            var coding: String
            var bytes: Int
            var final: Bool
        }

        struct Variant: Decodable {
            var asked_for: Bool
            var verdict: String
            var status: Int
            var age: Int
            var lifetime: Int
            var ttl: Int
            var memory_bytes: Int
            var eviction: String
            var codings: [Coding]
            var surrogate_keys: [String]?
            var parts: String?
        }

        var decision: String
        var route: String?
        var key: Key?
        var asked_upstream: String?
        var vary: [String]?
        var fetches: Int?
        var waiting: Int?
        var variants: [Variant]?
    }

    static func render(_ body: [UInt8]) throws -> String {
        let document = try JSONDecoder().decode(Document.self, from: Data(body))
        var facts = TextTable(columns: [.left("stored"), .left("")])
        facts.add(["decision", document.decision])
        if let route = document.route { facts.add(["route", route]) }
        if let key = document.key {
            facts.add(["key", key.host + key.target + (key.more.isEmpty ? "" : "  (and \(key.more))")])
        }
        if let target = document.asked_upstream { facts.add(["asked of the application", target]) }
        if let vary = document.vary, !vary.isEmpty { facts.add(["varies by", vary.joined(separator: ", ")]) }
        if let fetches = document.fetches, fetches > 0 { facts.add(["under way", "\(fetches) fetches, \(document.waiting ?? 0) wait"]) }
        var text = facts.rendered()
        guard let variants = document.variants, !variants.isEmpty else { return text }
        var table = TextTable(
            columns: [
                .left("variant"), .right("status"), .right("age"), .right("of"), .left("verdict"), .left("bodies"), .right("memory"), .left("eviction"),
                .left("surrogate keys"),
            ])
        for variant in variants {
            table.add([
                variant.asked_for ? "this" : "another", "\(variant.status)", "\(variant.age) s", "\(variant.lifetime) s", variant.verdict,
                variant.parts ?? variant.codings.map { "\($0.coding) \($0.bytes)" }.joined(separator: ", "), "\(variant.memory_bytes)", variant.eviction,
                (variant.surrogate_keys ?? []).joined(separator: " "),
            ])
        }
        text += "\n" + table.rendered()
        return text
    }
}
