/// What a keyspace says of itself in `INFO`.
struct KeyspaceNumbers: Sendable {
    var hits: Int
    var misses: Int
    var bytes: Int

    /// The share of lookups that found their key, 0…1.
    var hitRate: Double { Double(hits) / Double(max(hits + misses, 1)) }

    init(hits: Int, misses: Int, bytes: Int) {
        self.hits = hits
        self.misses = misses
        self.bytes = bytes
    }

    /// Asks the keyspace at a port of loopback.
    init(port: Int) async throws {
        let text = try await Self.ask(port: port, "INFO")
        func field(_ name: String) throws -> Int {
            let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
            guard let value = line.flatMap({ Int($0.dropFirst(name.count + 1)) }) else {
                throw Demo.Failure(description: "the keyspace does not say \(name)")
            }
            return value
        }
        hits = try field("keyspace_hits")
        misses = try field("keyspace_misses")
        bytes = try field("used_memory")
    }

    /// The same, counted from an earlier time on; memory is what it is.
    func since(_ earlier: KeyspaceNumbers) -> KeyspaceNumbers {
        var change = self
        change.hits -= earlier.hits
        change.misses -= earlier.misses
        return change
    }

    /// Sends one inline command and reads all that is answered to it and to the `QUIT` behind it.
    static func ask(port: Int, _ command: String) async throws -> String {
        // An INFO has some 10 KB.
        let answer = try await LoopbackClient(port: port).say(Array("\(command)\r\nQUIT\r\n".utf8), bytesMax: 1 << 20)
        return String(decoding: answer, as: UTF8.self)
    }
}
