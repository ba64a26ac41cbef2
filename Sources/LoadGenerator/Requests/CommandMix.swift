import NIOCore
public import Transport

/// Commands to a keyspace: which, how often each, with which keys and values. Everything is drawn and rendered beforehand.
public struct CommandMix: Sendable {
    /// How keys are drawn.
    public enum KeyDistribution: Sendable, Equatable {
        case uniform
        /// With an exponent above 0: 0.99 is what web caches see.
        case zipf(Double)
    }

    /// Why no workload can be made; the description is for the operator.
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case empty
        case quotes(String)
        case place(String)
        case tooLarge(Int)

        public var description: String {
            switch self {
            case .empty: "a command is empty"
            case .quotes(let text): "\(text): a quote that does not close"
            case .place(let name): "{{\(name)}}: in a command there are {{key}} and {{value}}"
            case .tooLarge(let bytes):
                "\(bytes >> 20) MiB of commands would be made beforehand, and \(CommandMix.bytesMax >> 20) MiB is the most: fewer keys, or smaller values"
            }
        }
    }

    /// Requests that are drawn beforehand; behind the last comes the first.
    static let requestsMax = 100_000
    public static let bytesMax = 256 << 20

    /// `GET {{key}}`, with a weight.
    public var commands: [(weight: Int, text: String)]
    /// 1 and up; keys are `key:000000000001` and so on, 16 bytes.
    public var keyCount = 10_000
    public var keyDistribution = KeyDistribution.zipf(0.99)
    public var valueBytes = 100
    /// Commands that are sent together, and whose replies are waited for together: one request.
    public var pipeline = 1
    public var seed: UInt64 = 1

    public init(_ commands: [(weight: Int, text: String)] = [(9, "GET {{key}}"), (1, "SET {{key}} {{value}}")]) {
        self.commands = commands
    }

    /// - Precondition: `keyCount` and `pipeline` are at least 1, weights too, `valueBytes` is not below 0.
    public func workload(_ login: KeyspaceLogin, at endpoint: SocketEndpoint, keepsAlive: Bool) throws(Invalid) -> Workload {
        var parts: [[[Part]]] = []
        for command in commands { parts.append(try Self.parse(command.text)) }
        guard !parts.isEmpty, parts.allSatisfy({ !$0.isEmpty }) else { throw .empty }
        let value = Self.value(bytes: valueBytes, seed: seed)
        let turns = WeightedOrder.indices(weights: commands.map(\.weight))
        // A pipeline has commands of its own mix, and is of one class.
        let names = pipeline == 1 ? commands.map { String($0.text.prefix { $0 != " " }).uppercased() } : ["pipeline of \(pipeline)"]
        let classes = Array(Set(names)).sorted { names.firstIndex(of: $0)! < names.firstIndex(of: $1)! }
        var numbers = SeededNumbers(seed: seed)
        let zipf: ZipfNumbers? = if case .zipf(let exponent) = keyDistribution { ZipfNumbers(count: keyCount, exponent: exponent) } else { nil }
        var requests: [Workload.Request] = []
        let count = min(Self.requestsMax, max(keyCount, 1000))
        var bytes = 0
        var turn = 0
        while requests.count < count {
            var buffer = ByteBuffer()
            var index = 0
            for _ in 0..<pipeline {
                index = Int(turns[turn % turns.count])
                turn += 1
                let rank = zipf?.draw(&numbers) ?? Int.random(in: 1...keyCount, using: &numbers)
                buffer.writeCommand(parts[index].map { $0.flatMap { $0.bytes(key: rank, value: value) } })
            }
            bytes += buffer.readableBytes
            guard bytes <= Self.bytesMax else { throw .tooLarge(bytes / max(requests.count, 1) * count) }
            let place = pipeline == 1 ? classes.firstIndex(of: names[index])! : 0
            requests.append(.init(bytes: buffer, classIndex: min(place, Workload.classCountMax - 1), asking: .commands(pipeline)))
        }
        let order = requests.indices.map { Int32($0) }
        return Workload(
            speech: .keyspace(login), endpoint: endpoint, requests: requests, order: order,
            classNames: Array(classes.prefix(Workload.classCountMax)), keepsAlive: keepsAlive)
    }

    // MARK: Commands as text

    private enum Part {
        case text([UInt8])
        case key
        case value

        func bytes(key: Int, value: [UInt8]) -> [UInt8] {
            switch self {
            case .text(let bytes): return bytes
            case .key:
                let digits = String(key)
                return Array(("key:" + String(repeating: "0", count: max(12 - digits.count, 0)) + digits).utf8)
            case .value: return value
            }
        }
    }

    /// Words, as redis-cli takes them: apart by spaces, those with spaces in double quotes.
    private static func parse(_ text: String) throws(Invalid) -> [[Part]] {
        var words: [[Part]] = []
        var rest = text[...]
        while true {
            rest = rest.drop { $0 == " " }
            guard let first = rest.first else { return words }
            var word = ""
            if first == "\"" {
                rest = rest.dropFirst()
                guard let end = rest.firstIndex(of: "\"") else { throw .quotes(text) }
                word = String(rest[..<end])
                rest = rest[end...].dropFirst()
            } else {
                word = String(rest.prefix { $0 != " " })
                rest = rest.dropFirst(word.count)
            }
            words.append(try parts(word[...]))
        }
    }

    private static func parts(_ word: Substring) throws(Invalid) -> [Part] {
        var parts: [Part] = []
        var rest = word
        while let open = rest.firstPlace(of: "{{"), let close = rest[open...].firstPlace(of: "}}") {
            if open > rest.startIndex { parts.append(.text(Array(rest[..<open].utf8))) }
            let name = String(rest[open...].dropFirst(2)[..<close])
            switch name {
            case "key": parts.append(.key)
            case "value": parts.append(.value)
            default: throw .place(name)
            }
            rest = rest[close...].dropFirst(2)
        }
        if !rest.isEmpty || parts.isEmpty { parts.append(.text(Array(rest.utf8))) }
        return parts
    }

    private static func value(bytes count: Int, seed: UInt64) -> [UInt8] {
        var numbers = SeededNumbers(seed: seed ^ 0x56_414C)
        return (0..<count).map { _ in UInt8(ascii: "a") + UInt8(numbers.next() % 26) }
    }
}
