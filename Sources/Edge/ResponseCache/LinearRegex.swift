/// A regular expression whose search takes time in proportion to the text, whatever the expression: purges by pattern are compared with
/// keys under a shard's lock, where one `(a+)+$` of the backtracking kind would hold up every request.
///
/// All states are followed at once (Thompson, "Regular expression search algorithm", 1968). The price is what needs backtracking:
/// back-references, look-around and possessive parts are refused, each by its name.
///
/// | | |
/// |---|---|
/// | `.` `[a-z]` `[^/]` `\d` `\w` `\s` `\D` `\W` `\S` | one byte |
/// | `\.` `\/` `\n` `\t` `\xHH` | itself |
/// | `( )` `(?: )` `a\|b` | groups, alternatives |
/// | `*` `+` `?` `{n}` `{n,}` `{n,m}` | repetition, up to ``repetitionMax`` |
/// | `^` `$` | the text's beginning and end |
/// | `(?i)` at the beginning | capitals and small letters of ASCII are the same |
struct LinearRegex: Sendable {
    struct Invalid: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    static let patternBytesMax = 1024
    /// Steps of the program, with each repetition written out: the time for a byte of the text grows with them.
    static let stepsMax = 512
    static let repetitionMax = 100
    private static let depthMax = 32

    private enum Step: Sendable {
        case byte(UInt8)
        case set(ByteSet)
        /// Both ways.
        case split(Int, Int)
        case jump(Int)
        case start
        case end
        case match
    }

    private struct ByteSet: Sendable {
        private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

        static let any: ByteSet = {
            var set = ByteSet()
            set.invert()
            return set
        }()

        mutating func insert(_ range: ClosedRange<UInt8>) {
            for byte in range {
                let bit = UInt64(1) << UInt64(byte & 63)
                switch byte >> 6 {
                case 0: words.0 |= bit
                case 1: words.1 |= bit
                case 2: words.2 |= bit
                default: words.3 |= bit
                }
            }
        }

        mutating func formUnion(_ other: ByteSet) {
            words.0 |= other.words.0
            words.1 |= other.words.1
            words.2 |= other.words.2
            words.3 |= other.words.3
        }

        mutating func invert() {
            words = (~words.0, ~words.1, ~words.2, ~words.3)
        }

        func contains(_ byte: UInt8) -> Bool {
            let word =
                switch byte >> 6 {
                case 0: words.0
                case 1: words.1
                case 2: words.2
                default: words.3
                }
            return word >> UInt64(byte & 63) & 1 == 1
        }
    }

    private indirect enum Node {
        case empty
        case byte(UInt8)
        case set(ByteSet)
        case start
        case end
        case sequence([Node])
        case either([Node])
        case repeated(Node, min: Int, max: Int?)
    }

    let text: String
    private let steps: [Step]

    /// - Throws: `Invalid`, whose description is for the operator.
    init(_ text: String) throws(Invalid) {
        guard text.utf8.count <= Self.patternBytesMax else {
            throw Invalid(description: "the expression is longer than \(Self.patternBytesMax) bytes")
        }
        var parser = Parser(Array(text.utf8))
        let node = try parser.parse()
        var program = Program()
        try program.add(node)
        program.steps.append(.match)
        self.text = text
        steps = program.steps
    }

    // MARK: Search

    /// Whether some part of the text is what the expression describes.
    func isFound(in text: some Collection<UInt8>) -> Bool {
        var current = Threads(count: steps.count)
        var next = Threads(count: steps.count)
        var waiting: [Int] = []
        var index = text.startIndex
        var isFirst = true
        while true {
            let isLast = index == text.endIndex
            // A match may begin at any place.
            if follow(0, into: &current, &waiting, isStart: isFirst, isEnd: isLast) { return true }
            if isLast { return false }
            let byte = text[index]
            index = text.index(after: index)
            let isEnd = index == text.endIndex
            for position in current.list {
                let isTaken =
                    switch steps[position] {
                    case .byte(let wanted): wanted == byte
                    case .set(let set): set.contains(byte)
                    case .split, .jump, .start, .end, .match: false
                    }
                if isTaken, follow(position + 1, into: &next, &waiting, isStart: false, isEnd: isEnd) { return true }
            }
            current.removeAll()
            swap(&current, &next)
            isFirst = false
        }
    }

    /// The steps that wait for the same byte, each once.
    private struct Threads {
        private(set) var list: [Int] = []
        private var isIn: [Bool]

        init(count: Int) {
            isIn = Array(repeating: false, count: count)
        }

        mutating func insert(_ step: Int) -> Bool {
            guard !isIn[step] else { return false }
            isIn[step] = true
            list.append(step)
            return true
        }

        mutating func removeAll() {
            for step in list { isIn[step] = false }
            list.removeAll(keepingCapacity: true)
        }
    }

    /// - Parameter waiting: memory, empty but for what this leaves in it when it returns `true`.
    /// - Returns: whether the end of the expression is reached.
    private func follow(_ first: Int, into threads: inout Threads, _ waiting: inout [Int], isStart: Bool, isEnd: Bool) -> Bool {
        waiting.append(first)
        while let step = waiting.popLast() {
            guard threads.insert(step) else { continue }
            switch steps[step] {
            case .match: return true
            case .jump(let to): waiting.append(to)
            case .split(let one, let other):
                waiting.append(other)
                waiting.append(one)
            case .start: if isStart { waiting.append(step + 1) }
            case .end: if isEnd { waiting.append(step + 1) }
            case .byte, .set: break
            }
        }
        return false
    }

    // MARK: Program

    private struct Program {
        var steps: [Step] = []
        /// Parts that were written out, those without steps too: `((a{0}){100}){100}` has a million of them.
        private var partCount = 0

        mutating func add(_ node: Node) throws(Invalid) {
            partCount += 1
            guard steps.count < stepsMax, partCount < 8 * stepsMax else {
                throw Invalid(description: "the expression is too large, its repetitions written out")
            }
            switch node {
            case .empty: break
            case .byte(let byte): steps.append(.byte(byte))
            case .set(let set): steps.append(.set(set))
            case .start: steps.append(.start)
            case .end: steps.append(.end)
            case .sequence(let nodes): for node in nodes { try add(node) }
            case .either(let nodes): try add(either: nodes)
            case .repeated(let node, let min, let max): try add(repeated: node, min: min, max: max)
            }
        }

        /// A step whose place is taken and whose ways are known later.
        private mutating func hold() -> Int {
            steps.append(.match)
            return steps.count - 1
        }

        private mutating func add(either nodes: [Node]) throws(Invalid) {
            var jumps: [Int] = []
            for node in nodes.dropLast() {
                let split = hold()
                try add(node)
                jumps.append(hold())
                steps[split] = .split(split + 1, steps.count)
            }
            if let last = nodes.last { try add(last) }
            for jump in jumps { steps[jump] = .jump(steps.count) }
        }

        private mutating func add(repeated node: Node, min: Int, max: Int?) throws(Invalid) {
            for _ in 0..<min { try add(node) }
            guard let max else {
                let split = hold()
                try add(node)
                steps.append(.jump(split))
                steps[split] = .split(split + 1, steps.count)
                return
            }
            var splits: [Int] = []
            for _ in min..<max {
                splits.append(hold())
                try add(node)
            }
            for split in splits { steps[split] = .split(split + 1, steps.count) }
        }
    }

    // MARK: Text

    private struct Parser {
        private let bytes: [UInt8]
        private var index = 0
        private var ignoresCase = false

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

        private mutating func takes(_ word: StaticString) -> Bool {
            let count = word.utf8CodeUnitCount
            guard index + count <= bytes.count else { return false }
            for offset in 0..<count where bytes[index + offset] != word.utf8Start[offset] { return false }
            index += count
            return true
        }

        private func invalid(_ text: String) -> Invalid { Invalid(description: "\(text) (at byte \(index + 1))") }

        mutating func parse() throws(Invalid) -> Node {
            if takes("(?i)") { ignoresCase = true }
            let node = try alternatives(depth: 0)
            guard next == nil else { throw invalid("a ) without its (") }
            return node
        }

        private mutating func alternatives(depth: Int) throws(Invalid) -> Node {
            guard depth < depthMax else { throw invalid("groups stand \(depthMax) deep") }
            var branches: [Node] = []
            repeat { branches.append(try sequence(depth: depth)) } while takes("|")
            return branches.count == 1 ? branches[0] : .either(branches)
        }

        private mutating func sequence(depth: Int) throws(Invalid) -> Node {
            var nodes: [Node] = []
            while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
                nodes.append(try repetition(of: try atom(depth: depth)))
            }
            return nodes.isEmpty ? .empty : nodes.count == 1 ? nodes[0] : .sequence(nodes)
        }

        private mutating func repetition(of node: Node) throws(Invalid) -> Node {
            var bounds: (min: Int, max: Int?)
            if takes("*") {
                bounds = (0, nil)
            } else if takes("+") {
                bounds = (1, nil)
            } else if takes("?") {
                bounds = (0, 1)
            } else if takes("{") {
                bounds = try counts()
            } else {
                return node
            }
            switch node {
            case .start, .end, .empty: throw invalid("there is nothing to repeat")
            case .byte, .set, .sequence, .either, .repeated: break
            }
            // What is found first and what is longest is the same question here: whether.
            _ = takes("?")
            if takes("+") { throw invalid("possessive repetition is not had here") }
            if next == UInt8(ascii: "*") || next == UInt8(ascii: "{") { throw invalid("a repetition of a repetition: put it in a group") }
            return .repeated(node, min: bounds.min, max: bounds.max)
        }

        private mutating func counts() throws(Invalid) -> (min: Int, max: Int?) {
            let min = try number()
            var max: Int? = min
            if takes(",") { max = next == UInt8(ascii: "}") ? nil : try number() }
            guard takes("}") else { throw invalid("{n}, {n,} or {n,m}") }
            if let max, max < min { throw invalid("{\(min),\(max)} goes backwards") }
            return (min, max)
        }

        private mutating func number() throws(Invalid) -> Int {
            var value = 0
            let start = index
            while let byte = next, byte &- 0x30 < 10 {
                value = value * 10 + Int(byte - 0x30)
                index += 1
                guard value <= repetitionMax else { throw invalid("a repetition of more than \(repetitionMax)") }
            }
            guard index > start else { throw invalid("{n}, {n,} or {n,m}") }
            return value
        }

        private mutating func atom(depth: Int) throws(Invalid) -> Node {
            if takes("^") { return .start }
            if takes("$") { return .end }
            if takes(".") { return .set(.any) }
            if takes("[") { return .set(try bracket()) }
            if takes("\\") { return try escape() }
            if takes("(") {
                if takes("?") {
                    guard takes(":") else { throw invalid("look-around and other (?…) are not had here, but (?:…) and a leading (?i)") }
                }
                let node = try alternatives(depth: depth + 1)
                guard takes(")") else { throw invalid("a ( without its )") }
                return node
            }
            guard let byte = next else { throw invalid("something is missing") }
            if "*+?{".utf8.contains(byte) { throw invalid("there is nothing to repeat") }
            index += 1
            return literal(byte)
        }

        private func literal(_ byte: UInt8) -> Node {
            guard ignoresCase, (byte | 0x20) &- 0x61 < 26 else { return .byte(byte) }
            var set = ByteSet()
            set.insert((byte | 0x20)...(byte | 0x20))
            set.insert((byte & ~0x20)...(byte & ~0x20))
            return .set(set)
        }

        private mutating func escape() throws(Invalid) -> Node {
            guard let byte = next else { throw invalid("a \\ at the end") }
            if let set = Self.named(byte) {
                index += 1
                return .set(set)
            }
            return literal(try escapedByte())
        }

        private mutating func escapedByte() throws(Invalid) -> UInt8 {
            guard let byte = next else { throw invalid("a \\ at the end") }
            index += 1
            switch byte {
            case UInt8(ascii: "n"): return 0x0A
            case UInt8(ascii: "t"): return 0x09
            case UInt8(ascii: "r"): return 0x0D
            case UInt8(ascii: "x"):
                guard index + 2 <= bytes.count, let value = UInt8(String(decoding: bytes[index..<index + 2], as: UTF8.self), radix: 16) else {
                    throw invalid("\\xHH")
                }
                index += 2
                return value
            case 0x30...0x39: throw invalid("back-references are not had here")
            case 0x41...0x5A, 0x61...0x7A: throw invalid("\\\(Character(UnicodeScalar(byte))) is not had here")
            default: return byte
            }
        }

        private static func named(_ byte: UInt8) -> ByteSet? {
            var set = ByteSet()
            switch byte | 0x20 {
            case UInt8(ascii: "d"): set.insert(0x30...0x39)
            case UInt8(ascii: "w"):
                set.insert(0x30...0x39)
                set.insert(0x41...0x5A)
                set.insert(0x61...0x7A)
                set.insert(0x5F...0x5F)
            case UInt8(ascii: "s"):
                set.insert(0x09...0x0D)
                set.insert(0x20...0x20)
            default: return nil
            }
            guard byte & 0x40 != 0 else { return nil }
            if byte & 0x20 == 0 { set.invert() }
            return set
        }

        private mutating func bracket() throws(Invalid) -> ByteSet {
            let isInverted = takes("^")
            var set = ByteSet()
            var isFirst = true
            while isFirst || next != UInt8(ascii: "]") {
                guard let byte = next else { throw invalid("a [ without its ]") }
                isFirst = false
                if byte == UInt8(ascii: "\\"), index + 1 < bytes.count, let named = Self.named(bytes[index + 1]) {
                    index += 2
                    set.formUnion(named)
                    continue
                }
                if takes("[:") { throw invalid("[:…:] is not had here") }
                let low = try member()
                var high = low
                if next == UInt8(ascii: "-"), index + 1 < bytes.count, bytes[index + 1] != UInt8(ascii: "]") {
                    index += 1
                    high = try member()
                    guard low <= high else { throw invalid("a range that goes backwards") }
                }
                insert(low...high, into: &set)
            }
            index += 1
            if isInverted { set.invert() }
            return set
        }

        private func insert(_ range: ClosedRange<UInt8>, into set: inout ByteSet) {
            set.insert(range)
            guard ignoresCase else { return }
            for byte in range where (byte | 0x20) &- 0x61 < 26 { set.insert((byte ^ 0x20)...(byte ^ 0x20)) }
        }

        private mutating func member() throws(Invalid) -> UInt8 {
            guard let byte = next else { throw invalid("a [ without its ]") }
            index += 1
            return byte == UInt8(ascii: "\\") ? try escapedByte() : byte
        }
    }
}
