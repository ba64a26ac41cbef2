import Foundation
public import NIOCore
import NIOPosix
import RESPWire
import Synchronization

/// A cache for an application, on Headrace's keyspace, Redis or Valkey.
///
///     let cache = Cache(host: "127.0.0.1")
///     let report = try await cache.remember("report:7", ttl: .minutes(5), tags: ["reports"]) { try await compute(7) }
///     await cache.invalidate(tag: "reports")
///
/// One computes at a time, over all processes; the others wait, or get the stale value. When the server is away values are computed, it is
/// counted, and the server is asked again by and by: no call fails because of the cache. Keys, values (JSON) and tags are those of the
/// Python package in `clients/python`, so that both may share them.
public final class Cache: Sendable {
    private let connection: CacheConnection
    private let options: CacheOptions
    private let counts = Mutex(CacheStatistics())

    /// - Parameters:
    ///   - host: a name or an address.
    ///   - group: event loops to use; the process' own otherwise.
    public init(host: String, port: Int = 6379, options: CacheOptions = CacheOptions(), group: (any EventLoopGroup)? = nil) {
        self.options = options
        connection = CacheConnection(.tcp(host: host, port: port), options, group ?? NIOSingletons.posixEventLoopGroup)
    }

    /// - Parameter unixSocket: the path of a Unix socket.
    public init(unixSocket: String, options: CacheOptions = CacheOptions(), group: (any EventLoopGroup)? = nil) {
        self.options = options
        connection = CacheConnection(.unix(path: unixSocket), options, group ?? NIOSingletons.posixEventLoopGroup)
    }

    /// What became of the calls so far.
    public var statistics: CacheStatistics { counts.withLock { $0 } }

    /// Ends the connection; another call opens one again.
    public func close() async { await connection.close() }

    // MARK: Values

    /// The value of a key; `nil` when there is none, when it is of another type, or when the server is away.
    public func get<Value: Decodable>(_ key: String, as type: Value.Type = Value.self) async -> Value? {
        guard let found = try? await lookUp(key, [], Value.self), found.freshUntil > Self.now else {
            count { $0.misses += 1 }
            return nil
        }
        count { $0.hits += 1 }
        return found.value
    }

    /// - Parameter ttl: `nil` for no end.
    /// - Returns: whether it was stored.
    /// - Throws: what the value's encoding throws.
    @discardableResult
    public func set<Value: Encodable>(_ key: String, _ value: Value, ttl: Duration?, tags: [String] = []) async throws -> Bool {
        let data = try Self.encode(value)
        do {
            let tokens = try await self.tokens(tags)
            _ = try await send([store(key, data, ttl?.seconds, cost: 0, tokens: tokens, stale: 0)])
            return true
        } catch { return false }
    }

    /// - Returns: whether it was there.
    @discardableResult
    public func delete(_ key: String) async -> Bool {
        (try? await send([["DEL", options.prefix + key].words]).first) == .integer(1)
    }

    /// What was stored under a tag is stored no more, and neither is what is being computed under it.
    /// - Returns: whether the server was told.
    @discardableResult
    public func invalidate(tag: String) async -> Bool {
        (try? await send([["SET", tagKey(tag), Self.token(), "EX", Self.tagSeconds].words])) != nil
    }

    // MARK: Remember

    /// The stored value, or what `compute` gives, which is then stored.
    ///
    /// - Parameters:
    ///   - ttl: shortened by chance by up to ``CacheOptions/jitter``.
    ///   - stale: for so much longer the old value is given to those who come while another computes the new one.
    ///   - negativeTTL: for a value that is `nil`; `.zero` to keep none. `ttl` when not given.
    /// - Throws: what `compute` throws, and nothing else.
    public func remember<Value: Codable & Sendable>(
        _ key: String, ttl: Duration, tags: [String] = [], stale: Duration = .zero, negativeTTL: Duration? = nil,
        _ compute: @Sendable () async throws -> Value
    ) async throws -> Value {
        let lock = options.prefix + "lock:" + key
        let token = Self.token()
        var isMine = false
        var hasAsked = false
        var tokens: [(tag: String, token: String)] = []
        do {
            var found = try await lookUp(key, tags, Value.self)
            if let found, found.freshUntil > Self.now, !isDue(found) {
                count { $0.hits += 1 }
                return found.value
            }
            let end = ContinuousClock.now + options.wait
            var pause = Duration.milliseconds(4)
            while true {
                let milliseconds = String(max(1, Int(options.lock.seconds * 1000)))
                // With another look in the same turn: the value may have been stored between the last one and the lock.
                let look = found == nil ? [asking(key, tags)] : []
                hasAsked = true
                let replies = try await send([["SET", lock, token, "NX", "PX", milliseconds].words] + look)
                isMine = replies.first?.bytes != nil
                if !look.isEmpty, let late = try await opened(replies.last, tags, Value.self) {
                    if isMine { await unlock(lock, token) }
                    count { $0.hits += 1 }
                    return late.value
                }
                if isMine { break }
                if let found {
                    count { if found.freshUntil > Self.now { $0.hits += 1 } else { $0.stale += 1 } }
                    return found.value
                }
                guard ContinuousClock.now < end else { break }
                count { $0.waited += 1 }
                try await Task.sleep(for: pause * Double.random(in: 0.5..<1.5))
                pause = min(pause * 1.6, .milliseconds(100))
                found = try await lookUp(key, tags, Value.self)
                if let found {
                    count { $0.hits += 1 }
                    return found.value
                }
            }
            // Before it is computed: what is invalidated meanwhile makes it invalid.
            tokens = try await self.tokens(tags)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            count { $0.computed += 1 }
            let result: Result<Value, any Error>
            do { result = .success(try await compute()) } catch { result = .failure(error) }
            // It may have the lock all the same, and nobody is to wait until that ends by itself.
            if hasAsked { await unlock(lock, token) }
            return try result.get()
        }
        count {
            $0.misses += 1
            $0.computed += 1
        }
        let began = ContinuousClock.now
        let value: Value
        do { value = try await compute() } catch {
            if isMine { await unlock(lock, token) }
            throw error
        }
        let cost = (ContinuousClock.now - began).seconds
        var commands: [[[UInt8]]] = []
        let lifetime = (Self.isNothing(value) ? negativeTTL ?? ttl : ttl).seconds * (1 - options.jitter * Double.random(in: 0..<1))
        if lifetime > 0, let data = try? Self.encode(value) {
            commands.append(store(key, data, lifetime, cost: cost, tokens: tokens, stale: stale.seconds))
        }
        if isMine { commands.append(Self.unlocking(lock, token)) }
        if !commands.isEmpty { _ = try? await send(commands) }
        return value
    }

    /// Whether a value is renewed now already: the likelier, the nearer its end is and the longer it takes to compute.
    /// - Source: Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015.
    private func isDue<Value>(_ found: Found<Value>) -> Bool {
        guard options.beta > 0, found.cost > 0 else { return false }
        return Self.now - found.cost * options.beta * log(1 - Double.random(in: 0..<1)) >= found.freshUntil
    }

    // MARK: Words

    private struct Found<Value> {
        var value: Value
        var freshUntil: Double
        var cost: Double
    }

    /// Tags outlive what is stored under them; one that is gone makes it invalid.
    private static let tagSeconds = "2592000"
    private static let unlockScript = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

    private static func unlocking(_ lock: String, _ token: String) -> [[UInt8]] { ["EVAL", unlockScript, "1", lock, token].words }
    private static func token() -> String { String(UInt64.random(in: .min ... .max), radix: 16) }
    private static var now: Double { Date().timeIntervalSince1970 }

    private func tagKey(_ tag: String) -> String { options.prefix + "tag:" + tag }

    private func unlock(_ lock: String, _ token: String) async { _ = try? await send([Self.unlocking(lock, token)]) }

    private func count(_ change: (inout CacheStatistics) -> Void) { counts.withLock { change(&$0) } }

    private func send(_ commands: [[[UInt8]]]) async throws -> [RESPReply] {
        do {
            return try await connection.send(commands)
        } catch {
            count { if error is CacheConnection.Away { $0.skipped += 1 } else { $0.errors += 1 } }
            throw error
        }
    }

    private func lookUp<Value: Decodable>(_ key: String, _ tags: [String], _ type: Value.Type) async throws -> Found<Value>? {
        try await opened(try await send([asking(key, tags)]).first, tags, type)
    }

    /// The command whose reply ``opened(_:_:_:)`` takes.
    private func asking(_ key: String, _ tags: [String]) -> [[UInt8]] { (["MGET", options.prefix + key] + tags.map(tagKey)).words }

    private func opened<Value: Decodable>(_ reply: RESPReply?, _ tags: [String], _ type: Value.Type) async throws -> Found<Value>? {
        let replies = try Self.values(reply, count: 1 + tags.count)
        guard let raw = replies.first ?? nil, let envelope = CacheEnvelope(parsing: raw) else { return nil }
        var known: [String: String] = [:]
        for (tag, token) in zip(tags, replies.dropFirst()) { known[tag] = token.map { String(decoding: $0, as: UTF8.self) } ?? "" }
        let others = envelope.tags.map(\.tag).filter { known[$0] == nil }
        if !others.isEmpty {
            let reply = try await send([(["MGET"] + others.map(tagKey)).words]).first
            for (tag, token) in zip(others, try Self.values(reply, count: others.count)) {
                known[tag] = token.map { String(decoding: $0, as: UTF8.self) } ?? ""
            }
        }
        guard envelope.tags.allSatisfy({ known[$0.tag] == $0.token }) else { return nil }
        // Bytes that are no such value are a miss.
        guard let value = try? JSONDecoder().decode(Boxed<Value>.self, from: Data(Array("[".utf8) + envelope.data + Array("]".utf8))) else { return nil }
        return Found(value: value.value, freshUntil: envelope.freshUntil, cost: envelope.cost)
    }

    private static func values(_ reply: RESPReply?, count: Int) throws -> [[UInt8]?] {
        guard case .array(let values)? = reply, values.count == count else { throw CacheConnection.Failure("MGET is not answered by an array") }
        return values.map(\.bytes)
    }

    private func tokens(_ tags: [String]) async throws -> [(tag: String, token: String)] {
        let tags = Set(tags).sorted()
        guard !tags.isEmpty else { return [] }
        let keys = tags.map(tagKey)
        let replies = try await send(
            keys.map { ["SET", $0, Self.token(), "NX", "EX", Self.tagSeconds].words } + [(["MGET"] + keys).words])
        return zip(tags, try Self.values(replies.last, count: tags.count)).map { ($0, String(decoding: $1 ?? [], as: UTF8.self)) }
    }

    private func store(
        _ key: String, _ data: [UInt8], _ lifetime: Double?, cost: Double, tokens: [(tag: String, token: String)], stale: Double
    ) -> [[UInt8]] {
        let envelope = CacheEnvelope(freshUntil: lifetime.map { Self.now + $0 } ?? .infinity, cost: cost, tags: tokens, data: data)
        var command = [Array("SET".utf8), Array((options.prefix + key).utf8), envelope.bytes]
        if let lifetime { command += ["PX", String(max(1, Int(min((lifetime + stale) * 1000, 1e15))))].words }
        return command
    }

    private static func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        // Within an array: a value alone, a number for example, is none that every version of JSON knows.
        [UInt8](try JSONEncoder().encode([value]).dropFirst().dropLast())
    }

    private static func isNothing<Value>(_ value: Value) -> Bool {
        if let optional = value as? any OptionalValue { return optional.isNothing }
        return false
    }
}

/// One value, which JSON has in an array.
private struct Boxed<Value: Decodable>: Decodable {
    let value: Value

    init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        value = try container.decode(Value.self)
    }
}

private protocol OptionalValue {
    var isNothing: Bool { get }
}

extension Optional: OptionalValue {
    fileprivate var isNothing: Bool { self == nil }
}

extension [String] {
    var words: [[UInt8]] { map { [UInt8]($0.utf8) } }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }

    public static func minutes(_ count: Int) -> Duration { .seconds(60 * count) }
    public static func hours(_ count: Int) -> Duration { .seconds(3600 * count) }
}
