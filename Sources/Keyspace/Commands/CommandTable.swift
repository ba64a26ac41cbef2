/// All commands by name. Read this first: every row leads to the code that carries it out.
final class CommandTable: Sendable {
    /// In the order of the rooms; ``CommandTable/sorted`` is by name.
    static let rows: [Command] =
        ConnectionCommands.rows + StringCommands.rows + BitCommands.rows + HashCommands.rows + ListCommands.rows
        + SetCommands.rows + SortedSetCommands.rows + SortedSetRanges.rows + SortedSetAlgebra.rows + KeyCommands.rows
        + TransactionCommands.rows + StreamCommands.rows + DumpCommands.rows + SortCommand.rows + ServerCommands.rows + EvaluationCommands.rows
        + PubSubCommands.rows + PersistenceCommands.rows + AccessCommands.rows

    static let shared = CommandTable(rows)

    let commands: [Command]
    /// Open addressing over the names: a place in ``commands``, or -1.
    private let places: [Int16]
    private let names: [(UInt64, UInt64)]
    private static let mask = 2047

    init(_ commands: [Command]) {
        self.commands = commands
        precondition(commands.count < 1024, "the name table is made for fewer commands")
        var places = [Int16](repeating: -1, count: Self.mask + 1)
        names = commands.map { command in
            var name = command.name
            return name.withUTF8 { Self.word(UnsafeRawBufferPointer($0)) } ?? (0, 0)
        }
        for (index, name) in names.enumerated() {
            precondition(name != (0, 0), "a command's name has 1 to 16 bytes: \(commands[index].name)")
            var place = Self.hash(name) & Self.mask
            while places[place] >= 0 {
                precondition(names[Int(places[place])] != name, "two commands are named \(commands[index].name)")
                place = (place + 1) & Self.mask
            }
            places[place] = Int16(index)
        }
        self.places = places
    }

    /// The command of a name in any case.
    func index(_ name: UnsafeRawBufferPointer) -> Int? {
        guard let word = Self.word(name) else { return nil }
        var place = Self.hash(word) & Self.mask
        while places[place] >= 0 {
            let index = Int(places[place])
            if names[index] == word { return index }
            place = (place + 1) & Self.mask
        }
        return nil
    }

    func command(_ name: UnsafeRawBufferPointer) -> Command? { index(name).map { commands[$0] } }

    private static func hash(_ name: (UInt64, UInt64)) -> Int {
        let product = (name.0 ^ name.1 &* 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
        return Int(truncatingIfNeeded: product >> 32)
    }

    /// A name's bytes, in lower case; `nil` when there are none, or more than any command has.
    @inline(__always)
    private static func word(_ name: UnsafeRawBufferPointer) -> (UInt64, UInt64)? {
        let count = name.count
        guard count > 0, count <= 16, let start = name.baseAddress else { return nil }
        // Two loads that overlap, each byte in its place.
        if count >= 8 {
            let low = UInt64(littleEndian: start.loadUnaligned(as: UInt64.self))
            let last = UInt64(littleEndian: start.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self))
            return (lowercase(low), lowercase(last >> UInt64(8 * (16 - count))))
        }
        if count >= 4 {
            let first = UInt64(UInt32(littleEndian: start.loadUnaligned(as: UInt32.self)))
            let last = UInt64(UInt32(littleEndian: start.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)))
            return (lowercase(first | last << UInt64(8 * (count - 4))), 0)
        }
        var low: UInt64 = 0
        for index in 0..<count { low |= UInt64(name[index]) << UInt64(8 * index) }
        return (lowercase(low), 0)
    }

    /// Eight bytes at once, those from `A` to `Z` in lower case.
    @inline(__always)
    static func lowercase(_ bytes: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let sevens = bytes & (0x7F &* ones)
        // The highest bit of each: whether it is at least an A, and beyond a Z; no sum reaches the next byte.
        let isLetter = (sevens &+ (0x80 - 65) &* ones) ^ (sevens &+ (0x7F - 90) &* ones)
        return bytes | (isLetter & ~bytes & (0x80 &* ones)) >> 2
    }

    @inline(__always)
    static func lowercase(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 0x20 : byte }
}
