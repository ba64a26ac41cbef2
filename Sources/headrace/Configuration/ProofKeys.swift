import Edge

/// Measuring what layers are worth, on the process that serves.
enum ProofKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "prove.secret", \.edge.proof.secret, .optional(.proofSecret), isReloadable: true, isSecret: true,
            """
            What headrace prove and headrace doctor sign their requests with, so that a request can go past a layer; 16 characters or more. \
            Without it nobody can.
            """),
        .init(
            "prove.clients", \.edge.proof.clients, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "From where such requests may come."),
        .init(
            "prove.hold_out", \.edge.proof.holdOutShare, .share, isReloadable: true,
            """
            The share of visitors' requests that goes past a layer, drawn at random, so that the dashboard says what the layer is worth: 1% is \
            plenty. Only GET requests without Authorization and Cookie are drawn.
            """),
        .init(
            "prove.keyspace", \.keyspace.cachePatterns, .list("patterns", of: .keyspacePattern, isEmptyAllowed: true),
            """
            Which keys are a cache's, as KEYS writes it (cache:*): those that headrace prove --keyspace lets be missing, for all clients, while it \
            measures what the keyspace is worth. Never locks, sessions or queues. Without any, it may not.
            """),
        .init(
            "prove.pooler_connections", \.pooler.limits.dedicatedMax, .number(0...10_000),
            """
            Server connections of one client each that headrace prove --pooler may have the pooler make in a pool, while it measures what sharing \
            them is worth: as many as the application has connections, and no more than PostgreSQL has to spare (max_connections). 0: it may not.
            """),
        .init("prove.hold_out_layer", \.edge.proof.holdOutLayer, .holdOutLayer, isReloadable: true, "Which layer."),
    ]
}

extension ValueFormat where Value == HoldOut.Layer {
    static var holdOutLayer: Self {
        let word = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .responseCache }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == String {
    /// `cache:*`
    static var keyspacePattern: Self {
        Self(
            "pattern", units: "",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 256, word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                    throw ValueProblem("\"\(word)\" is no pattern of keys such as cache:*")
                }
                return word
            }, render: { $0 })
    }

    static var proofSecret: Self {
        Self(
            "secret", units: "16 characters or more",
            parse: { word in
                guard word.utf8.count >= ProofConfiguration.secretBytesMin else {
                    throw ValueProblem("the secret has \(word.utf8.count) characters, and could be guessed: 16 or more, as openssl rand -hex 32 makes them")
                }
                return word
            }, render: { $0 })
    }
}
