import Foundation
import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import Edge

/// The store beside a dictionary.
///
/// How it works:
/// 1. One seed makes one sequence of operations on one shard: store, find, add a coding, replace a head, drop, purge by URL, tag and pattern,
///    mark as not shareable, sweep. Keys are few, so that operations meet.
/// 2. The model is a dictionary from key and language to the response that was stored last. It evicts nothing.
/// 3. What the store finds is what the model has, the very object; what the model does not have, the store does not find. What the model has
///    and the store does not find was evicted, and stays away; while there is room for all nothing does.
/// 4. After each step the account is that of what is there: the sum over all entries, within the budget.
///
/// A failure names its seed: `HEADRACE_SEED=… swift test --filter StoreModelTests`.
@Suite struct StoreModelTests {
    private static let seeds: [UInt64] = {
        if let seed = ProcessInfo.processInfo.environment["HEADRACE_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(1...24)
    }()

    /// The odd ones have room for everything.
    @Test(arguments: seeds) func `the store has what a dictionary has, less what was evicted`(seed: UInt64) throws {
        var world = StoreModel(seed: seed, hasRoom: seed % 2 == 1)
        for step in 0..<4_000 {
            try world.step()
            if let problem = world.problem {
                Issue.record("seed \(seed), step \(step): \(problem)")
                return
            }
        }
        #expect(world.hits > 200, "seed \(seed): a sequence in which something is found")
        if seed % 2 == 1 { #expect(world.shard.evictedCount == 0) } else { #expect(world.shard.evictedCount > 100) }
    }
}

private struct StoreModel {
    private struct Kept {
        let response: StoredResponse
        let body: [UInt8]
        let tags: Set<String>
    }

    private struct Place: Hashable {
        let target: String
        /// Empty where the response does not vary.
        let language: String
    }

    private static let targets = (0..<24).map { "/\($0 % 3 == 0 ? "img" : "page")/\($0)" }
    private static let languages = ["de", "en", "fr"]
    private static let tags = ["red", "green", "blue"]

    private var random: SeededRandom
    private(set) var shard: ResponseShard
    private var model: [Place: Kept] = [:]
    private var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let hasRoom: Bool
    private(set) var problem: String?
    private(set) var hits = 0

    init(seed: UInt64, hasRoom: Bool) {
        random = SeededRandom(seed: seed)
        self.hasRoom = hasRoom
        shard = ResponseShard(bytesMax: hasRoom ? 64 << 20 : Int.random(in: 12...80, using: &random) << 10, codingOrder: [.gzip])
    }

    mutating func step() throws {
        now = now + .milliseconds(Int64.random(in: 0...40, using: &random))
        let target = random.pick(Self.targets)
        let language = random.pick(Self.languages)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<34: try store(target, language)
        case 34..<80: try find(target, language)
        case 80..<86: try addCoding(target, language)
        case 86..<89: try replace(target, language)
        case 89..<92: try drop(target, language)
        case 92..<94: try purgeURL(target)
        case 94..<96: purgeTag()
        case 96..<98: ban(random.chance(oneIn: 3) ? "/img/" : target)
        case 98: try fail(target, language)
        default: while shard.sweep(entriesMax: 3, now: now) {}
        }
        guard problem == nil else { return }
        checkAccount()
    }

    /// Whether what a target gives depends on the language.
    private func varies(_ target: String) -> Bool { (Int(target.filter(\.isNumber)) ?? 0) % 2 == 0 }

    private func request(_ target: String, _ language: String) throws -> RequestHead {
        try .get(target, ["Accept-Language: \(language)", "Accept-Encoding: gzip"])
    }

    private func key(_ target: String) throws -> CacheKey {
        var key = CacheKey()
        key.assign(try request(target, "de"), scope: [], seed: 7)
        return key
    }

    private func place(_ target: String, _ language: String) -> Place { Place(target: target, language: varies(target) ? language : "") }

    private mutating func store(_ target: String, _ language: String) throws {
        let head = try request(target, language)
        guard case .lead(let lease) = shard.join(try key(target), head, follower: nil, now: now) else { return }
        let tags = Set(Self.tags.filter { _ in random.chance(oneIn: 4) })
        var fields = ["Cache-Control: max-age=60"]
        if varies(target) { fields.append("Vary: Accept-Language") }
        if !tags.isEmpty { fields.append("Surrogate-Key: " + tags.sorted().joined(separator: " ")) }
        let response = try StoredResponse.make(fields, received: now, codings: [.gzip])
        let body = [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: Int.random(in: 0...3_000, using: &random))
        let made = ResponseCodec.representation(of: response, coding: .identity, effort: .asReceived, body: StoredBody(ByteBuffer(bytes: body)))
        let ended = shard.finish(lease, .store(made, requestFields: head.fields), now: now)
        if ended.isStored {
            model[place(target, language)] = Kept(response: response, body: body, tags: tags)
        } else if hasRoom {
            problem = "\(target) was not stored though there is room"
        } else {
            // Not admitted: nothing was there before, or it would have been.
            model[place(target, language)] = nil
        }
    }

    private mutating func find(_ target: String, _ language: String) throws {
        let found = shard.find(try key(target), try request(target, language), accepted: .identityOnly)?.representation
        let kept = model[place(target, language)]
        guard let found else {
            if kept != nil, hasRoom { problem = "\(target) in \(language) is not found though there is room" }
            // It was evicted, and stays away.
            model[place(target, language)] = nil
            return
        }
        hits += 1
        guard let kept, kept.response === found.response else { return problem = "\(target) in \(language) is found and should not be" }
        if Array(buffer: found.body.whole) != kept.body { problem = "\(target) in \(language) has another body" }
    }

    private mutating func addCoding(_ target: String, _ language: String) throws {
        guard let kept = model[place(target, language)] else { return }
        let body = ByteBuffer(repeating: 1, count: kept.body.count / 2)
        let made = ResponseCodec.representation(of: kept.response, coding: .gzip, effort: .fast, body: StoredBody(body))
        let isAdded = shard.addCoding(made, key: try key(target))
        if !isAdded, hasRoom { problem = "\(target) takes no coding" }
        guard isAdded else { return }
        let found = shard.find(try key(target), try request(target, language), accepted: AcceptedCodings(try request(target, language).fields))
        // It may have been the one that made room.
        if let found, found.representation !== made { problem = "\(target) in gzip is not what was added" }
    }

    private mutating func replace(_ target: String, _ language: String) throws {
        guard let kept = model[place(target, language)], let ready = shard.ready(try key(target), try request(target, language)) else { return }
        var fields = ["Cache-Control: max-age=90"]
        if varies(target) { fields.append("Vary: Accept-Language") }
        let response = try StoredResponse.make(fields, received: now, codings: [.gzip])
        let plain = ResponseCodec.representation(of: response, coding: .identity, effort: .asReceived, body: ready.plain.body)
        shard.replace(kept.response, by: plain, coded: [], key: try key(target))
        model[place(target, language)] = Kept(response: response, body: kept.body, tags: [])
    }

    private mutating func drop(_ target: String, _ language: String) throws {
        guard let kept = model.removeValue(forKey: place(target, language)) else { return }
        shard.drop(kept.response, key: try key(target))
    }

    private mutating func purgeURL(_ target: String) throws {
        _ = shard.purge(try key(target), isSoft: false, now: now)
        model = model.filter { $0.key.target != target }
    }

    private mutating func purgeTag() {
        let tag = random.pick(Self.tags)
        let found = shard.beginPurge(tags: DependencyTags(surrogateKeys: tag).hashes)
        let count = shard.purge(found[...], isSoft: false, now: now)
        let gone = model.filter { $0.value.tags.contains(tag) }
        // What a pattern was for lies there until it is compared with it.
        if hasRoom, count < gone.count { problem = "\(count) responses carried \(tag), not \(gone.count)" }
        model = model.filter { !$0.value.tags.contains(tag) }
    }

    private mutating func ban(_ prefix: String) {
        guard shard.ban(BanRule(host: nil, pattern: .prefix(Array(prefix.utf8))), isSoft: false, now: now) else { return }
        model = model.filter { !$0.key.target.hasPrefix(prefix) }
    }

    /// An answer that cannot be shared: all variants go, and a mark comes.
    private mutating func fail(_ target: String, _ language: String) throws {
        guard case .lead(let lease) = shard.join(try key(target), try request(target, language), follower: nil, now: now) else { return }
        _ = shard.finish(lease, .notShareable, now: now)
        model = model.filter { $0.key.target != target }
    }

    private mutating func checkAccount() {
        shard.eviction.checkInvariants()
        shard.tags.checkInvariants()
        var sum = 0
        var count = 0
        for slot in shard.entries.indices where shard.entries[slot].record >= 0 {
            sum += shard.memoryBytes(of: slot)
            count += 1
        }
        if sum != shard.eviction.bytes { problem = "\(shard.eviction.bytes) bytes are accounted where \(sum) are there" }
        if count != shard.entryCount || count != shard.eviction.count { problem = "\(count) entries, and \(shard.entryCount) are counted" }
        if shard.eviction.bytes > shard.eviction.bytesMax { problem = "more than may be" }
    }
}
