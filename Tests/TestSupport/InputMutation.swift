/// Makes inputs of others: bits turned, bytes set, pieces taken out, doubled, or put in from another input or the dictionary. The same seed makes the same.
public struct InputMutation {
    private let corpus: [[UInt8]]
    private let words: [[UInt8]]
    private let bytesMax: Int
    private var random: SeededRandom

    /// Ends of ranges and what separates things.
    private static let bytes: [UInt8] = [0, 1, 9, 0x0A, 0x0D, 0x20, 0x22, 0x2C, 0x3A, 0x3B, 0x7F, 0x80, 0xC0, 0xFE, 0xFF]

    /// - Precondition: there is a corpus, and there are words.
    public init(corpus: [[UInt8]], words: [[UInt8]], seed: UInt64, bytesMax: Int) {
        self.corpus = corpus
        self.words = words
        self.bytesMax = bytesMax
        random = SeededRandom(seed: seed)
    }

    public mutating func next() -> [UInt8] {
        var input = random.pick(corpus)
        for _ in 0..<Int.random(in: 1...5, using: &random) { change(&input) }
        return Array(input.prefix(bytesMax))
    }

    private mutating func change(_ input: inout [UInt8]) {
        let place = Int.random(in: 0...input.count, using: &random)
        let end = min(input.count, place + Int.random(in: 1...16, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0 where place < input.count: input[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1 where place < input.count: input[place] = UInt8.random(in: 0...255, using: &random)
        case 2: input.insert(random.pick(Self.bytes), at: place)
        case 3: input.removeSubrange(place..<end)
        case 4: input.insert(contentsOf: input[place..<end], at: place)
        case 5: input.insert(contentsOf: random.pick(words), at: place)
        case 6:
            let other = random.pick(corpus)
            let start = Int.random(in: 0...other.count, using: &random)
            input.replaceSubrange(place..., with: other[start...])
        default: input.removeSubrange(place...)
        }
    }
}
