/// Which clients must be told when a key changes, because they may have it in a cache of their own (`CLIENT TRACKING`).
///
/// Two ways. By default the table remembers which keys a client has read, until one message about it; the table has a bound, and when it is
/// full a key of it is invalidated though nothing changed, which only costs its readers a read. With `BCAST` the table remembers
/// prefixes, and every change of a key below one is told.
///
/// A client is named by its ID; a key is remembered for an ID that may be gone or no longer tracking: that is found out when the key
/// changes, so that leaving costs nothing per key.
/// - Source: redis.io, "Client-side caching in Redis"; `tracking.c` of Redis 7.
package struct Tracking {
    package typealias ClientID = Int

    /// How a client wants to be told.
    package struct Options: Equatable, Sendable {
        /// Who gets the messages, through `__redis__:invalidate` if it speaks RESP2; the client itself when `nil`.
        package var redirect: ClientID?
        package var mode = Mode.default
        /// `NOLOOP`: not of its own changes.
        package var skipsOwnChanges = false

        package init(redirect: ClientID? = nil, mode: Mode = .default, skipsOwnChanges: Bool = false) {
            self.redirect = redirect
            self.mode = mode
            self.skipsOwnChanges = skipsOwnChanges
        }
    }

    package enum Mode: Equatable, Sendable {
        /// Keys that it reads.
        case `default`
        /// Keys that it reads behind `CLIENT CACHING YES`.
        case optIn
        /// Keys that it reads, but behind `CLIENT CACHING NO`.
        case optOut
        /// Keys that begin with one of these; no prefix means every key.
        case broadcast(prefixes: [[UInt8]])
    }

    /// Why tracking was not begun or changed. The texts are Redis'.
    package enum Refusal: Error, Equatable, Sendable {
        /// Two prefixes of which one begins with the other.
        case prefixesOverlap([UInt8], [UInt8])
        /// From broadcasting to another mode or back, without `OFF` between.
        case modeChanged
        /// From `OPTIN` to `OPTOUT` or back, without `OFF` between.
        case optChanged
        /// More prefixes than a client may have.
        case prefixesTooMany

        package var text: String {
            switch self {
            case .prefixesOverlap(let first, let second):
                "ERR Prefix '\(String(decoding: first, as: UTF8.self))' overlaps with an existing prefix "
                    + "'\(String(decoding: second, as: UTF8.self))'. Prefixes for a single client must not overlap."
            case .modeChanged:
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a "
                    + "different mode."
            case .optChanged:
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a "
                    + "different mode."
            case .prefixesTooMany: "ERR too many prefixes"
            }
        }
    }

    /// A message to one client.
    package struct Invalidation: Equatable, Sendable {
        /// Whose cache it is about.
        package var client: ClientID
        /// Who gets it.
        package var recipient: ClientID
        package var keys: [[UInt8]]
    }

    private struct Client {
        var options: Options
        /// What `CLIENT CACHING` said about the next command.
        var caching: Bool?
    }

    private var clients: [ClientID: Client] = [:]
    private var readers: [[UInt8]: Set<ClientID>] = [:]
    private var prefixes: [[UInt8]: Set<ClientID>] = [:]
    /// Of `readers`: `tracking-table-max-keys`.
    package var keyCountMax: Int
    private let prefixesPerClientMax: Int
    /// Of one client's prefixes.
    private let prefixBytesMax: Int
    /// Of the keys of `readers`, whatever their number may be.
    private let keyBytesMax: Int
    private var keyBytes = 0
    /// Of the readers, each key's counted: bounds what many readers of the same keys take.
    private var readerCount = 0
    private var readerCountMax: Int { keyCountMax.multipliedReportingOverflow(by: 8).overflow ? .max : keyCountMax * 8 }

    package init(keyCountMax: Int = 1_000_000, keyBytesMax: Int = 128 << 20, prefixesPerClientMax: Int = 1000, prefixBytesMax: Int = 1 << 20) {
        self.keyCountMax = keyCountMax
        self.keyBytesMax = keyBytesMax
        self.prefixesPerClientMax = prefixesPerClientMax
        self.prefixBytesMax = prefixBytesMax
    }

    /// Whether nobody tracks: asked before each read and write.
    package var isOff: Bool { clients.isEmpty }
    package var clientCount: Int { clients.count }
    package var keyCount: Int { readers.count }
    /// Readers, each key's counted.
    package var itemCount: Int { readerCount }
    package var prefixCount: Int { prefixes.count }

    package func options(_ client: ClientID) -> Options? { clients[client]?.options }

    /// What `CLIENT CACHING` said about the next command.
    package func caching(_ client: ClientID) -> Bool? { clients[client]?.caching }

    private static func bytes(_ prefixes: [[UInt8]]) -> Int { prefixes.reduce(0) { $0 + $1.count } }

    /// What is kept of a client's prefixes.
    package func prefixBytes(of client: ClientID) -> Int {
        if case .broadcast(let own) = clients[client]?.options.mode { Self.bytes(own) } else { 0 }
    }

    // MARK: CLIENT TRACKING, CLIENT CACHING

    /// `CLIENT TRACKING ON`. Prefixes come on top of those that the client has.
    package mutating func began(_ client: ClientID, _ options: Options) throws(Refusal) {
        var merged = options
        let old = clients[client]?.options
        if let old {
            switch (old.mode, options.mode) {
            case (.broadcast, .broadcast), (.default, .default), (.optIn, .optIn), (.optOut, .optOut): break
            case (.broadcast, _), (_, .broadcast): throw .modeChanged
            case (.optIn, .optOut), (.optOut, .optIn): throw .optChanged
            case (.default, .optIn), (.default, .optOut), (.optIn, .default), (.optOut, .default): break
            }
        }
        if case .broadcast(let added) = options.mode {
            var all: [[UInt8]] = []
            if case .broadcast(let existing) = old?.mode { all = existing }
            for prefix in added.isEmpty && all.isEmpty ? [[]] : added where !all.contains(prefix) {
                if let other = all.first(where: { $0.starts(with: prefix) || prefix.starts(with: $0) }) {
                    throw .prefixesOverlap(prefix, other)
                }
                guard all.count < prefixesPerClientMax, Self.bytes(all) + prefix.count <= prefixBytesMax else { throw .prefixesTooMany }
                all.append(prefix)
            }
            for prefix in all { prefixes[prefix, default: []].insert(client) }
            merged.mode = .broadcast(prefixes: all)
        }
        clients[client] = Client(options: merged, caching: nil)
    }

    /// `CLIENT TRACKING OFF`, or the connection is gone. What it has read stays in the table until it changes.
    package mutating func ended(_ client: ClientID) {
        guard let old = clients.removeValue(forKey: client) else { return }
        if case .broadcast(let own) = old.options.mode {
            for prefix in own {
                prefixes[prefix]?.remove(client)
                if prefixes[prefix]?.isEmpty == true { prefixes[prefix] = nil }
            }
        }
        if clients.isEmpty { forgetAll() }
    }

    /// `CLIENT CACHING YES` or `NO`.
    /// - Returns: why it means nothing now, as an error line.
    package mutating func cachingSaid(_ client: ClientID, _ isYes: Bool) -> String? {
        switch (clients[client]?.options.mode, isYes) {
        case (.optIn, true), (.optOut, false):
            clients[client]?.caching = isYes
            return nil
        case (.optIn, false), (.optOut, true), (.default, _), (.broadcast, _):
            return isYes
                ? "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
                : "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
        case (nil, _):
            return "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
        }
    }

    // MARK: Reads and writes

    /// A client has read keys with one command.
    /// - Returns: what must be said because the table is full.
    package mutating func keysRead(_ keys: some Sequence<[UInt8]>, by client: ClientID) -> [Invalidation] {
        guard let state = clients[client] else { return [] }
        switch state.options.mode {
        case .broadcast: return []
        case .default: break
        case .optIn: guard state.caching == true else { return [] }
        case .optOut: guard state.caching != false else { return [] }
        }
        var invalidations: [Invalidation] = []
        for key in keys {
            if readers[key] == nil { keyBytes += key.count }
            if readers[key, default: []].insert(client).inserted { readerCount += 1 }
            // The table's hashing has a seed of its own, so that its first key is any key.
            while readers.count > keyCountMax || readerCount > readerCountMax || keyBytes > keyBytesMax, let any = readers.first?.key {
                invalidations += forget(any, except: nil)
            }
        }
        return invalidations
    }

    /// A command behind `CLIENT CACHING` is over.
    package mutating func commandEnded(_ client: ClientID) {
        clients[client]?.caching = nil
    }

    /// A key was changed, has expired or was evicted.
    /// - Parameter client: who changed it; `nil` when nobody did.
    package mutating func keyChanged(_ key: [UInt8], by client: ClientID?) -> [Invalidation] {
        var invalidations = readers[key] == nil ? [] : forget(key, except: client)
        for (prefix, subscribers) in prefixes where key.starts(with: prefix) {
            for subscriber in subscribers {
                guard let options = clients[subscriber]?.options, !(options.skipsOwnChanges && subscriber == client) else { continue }
                invalidations.append(Invalidation(client: subscriber, recipient: options.redirect ?? subscriber, keys: [key]))
            }
        }
        return invalidations
    }

    /// All keys are gone: each client is told once, with no key.
    package mutating func allChanged() -> [ClientID] {
        forgetAll()
        return clients.map { $0.value.options.redirect ?? $0.key }.sorted()
    }

    private mutating func forgetAll() {
        readers = [:]
        (readerCount, keyBytes) = (0, 0)
    }

    private mutating func forget(_ key: [UInt8], except author: ClientID?) -> [Invalidation] {
        guard let all = readers.removeValue(forKey: key) else { return [] }
        readerCount -= all.count
        keyBytes -= key.count
        return all.compactMap { reader in
            guard let options = clients[reader]?.options else { return nil }
            // Broadcasting clients are told by prefix; this one has changed its mode since it read the key.
            if case .broadcast = options.mode { return nil }
            if options.skipsOwnChanges, reader == author { return nil }
            return Invalidation(client: reader, recipient: options.redirect ?? reader, keys: [key])
        }
    }
}
