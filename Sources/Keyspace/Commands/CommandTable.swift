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
    private let mask: Int

    init(_ commands: [Command]) {
        self.commands = commands
        mask = 2047
        precondition(commands.count < 1024, "the name table is made for fewer commands")
        var places = [Int16](repeating: -1, count: 2048)
        names = commands.map { command in
            var name = command.name
            return name.withUTF8 { Self.word(UnsafeRawBufferPointer($0)) } ?? (0, 0)
        }
        for (index, name) in names.enumerated() {
            precondition(name != (0, 0), "a command's name has 1 to 16 bytes: \(commands[index].name)")
            var place = Self.hash(name) & 2047
            while places[place] >= 0 {
                precondition(names[Int(places[place])] != name, "two commands are named \(commands[index].name)")
                place = (place + 1) & 2047
            }
            places[place] = Int16(index)
        }
        self.places = places
    }

    /// The command of a name in any case.
    func index(_ name: UnsafeRawBufferPointer) -> Int? {
        guard let word = Self.word(name) else { return nil }
        var place = Self.hash(word) & mask
        while places[place] >= 0 {
            let index = Int(places[place])
            if names[index] == word { return index }
            place = (place + 1) & mask
        }
        return nil
    }

    func command(_ name: UnsafeRawBufferPointer) -> Command? { index(name).map { commands[$0] } }

    private static func hash(_ name: (UInt64, UInt64)) -> Int {
        let product = (name.0 ^ name.1 &* 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
        return Int(truncatingIfNeeded: product >> 32)
    }

    /// A name's bytes, in lower case; `nil` when there are none, or more than any command has.
    private static func word(_ name: UnsafeRawBufferPointer) -> (UInt64, UInt64)? {
        guard name.count > 0, name.count <= 16 else { return nil }
        var (low, high): (UInt64, UInt64) = (0, 0)
        for index in 0..<min(name.count, 8) { low |= UInt64(lowercase(name[index])) << UInt64(8 * index) }
        if name.count > 8 {
            for index in 8..<name.count { high |= UInt64(lowercase(name[index])) << UInt64(8 * (index - 8)) }
        }
        return (low, high)
    }

    @inline(__always)
    static func lowercase(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 0x20 : byte }
}
