import Edge
import Keyspace

/// What can be said of the keyspace.
enum KeyspaceKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "keyspace.listen", \.keyspace.listen, .list("addresses", of: .keyspaceAddress, isEmptyAllowed: true),
            "Where clients of Redis' protocol connect, such as 127.0.0.1:6379; without an address there is no keyspace."),
        .init("keyspace.threads", \.keyspace.threads, .number(0...256), "Event loops of the keyspace's own; 0 is one per core."),
        .init(
            "keyspace.maxmemory", \.keyspace.bytesMax, .size(0...1 << 40),
            "Memory of all keys, values and bookkeeping; 0B is no bound. CONFIG SET maxmemory changes it while it runs."),
        .init(
            "keyspace.policy", \.keyspace.policy, .evictionPolicy,
            "Which keys make room when the memory is full. Queues (Celery, RQ) and locks want noeviction."),
        .init(
            "keyspace.password", \.keyspace.password, .plainSecret, isSecret: true,
            "What clients must say in AUTH, as requirepass of Redis; without one, nothing."),
        .init("keyspace.databases", \.keyspace.databases, .number(1...64), "Databases for SELECT."),
        .init(
            "keyspace.clients", \.keyspace.clientsMax, .number(1...1_000_000), "Connected clients; more are closed at once."),
        .init(
            "keyspace.limits.output", \.keyspace.outputBytesMax, .size(1 << 16...1 << 32),
            "Answers that wait for a client to take them; it is closed beyond."),
        .init(
            "keyspace.limits.input", \.keyspace.inputBytesMax, .size(1 << 16...1 << 32),
            "Requests that were read of a client and not carried out yet; it is closed beyond."),
    ]
}

extension ValueFormat where Value == KeyspaceConfiguration.SocketEndpoint {
    /// `127.0.0.1:6379`, `[::1]:6379`, `unix:/run/keyspace.sock`.
    static var keyspaceAddress: Self { .listenAddress }
}

extension ValueFormat where Value == EvictionPolicy {
    static var evictionPolicy: Self {
        let words = ValueFormat<String>.choice(EvictionPolicy.allCases.map(\.rawValue))
        return Self(
            "eviction policy", units: words.units,
            parse: { word in EvictionPolicy(rawValue: try words.parse([word])) ?? .noeviction }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == String {
    /// A secret that is empty when there is none.
    static var plainSecret: Self {
        Self(
            "password",
            parse: { word in
                guard !word.isEmpty, word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                    throw ValueProblem("is empty, or has control characters in it")
                }
                return word
            }, render: { $0 })
    }
}
