public import HTTPSemantics

/// Reads header blocks of one direction of one connection.
///
/// Written here and not taken from NIOHPACK, which makes two `String`s of each field: that costs an allocation for most of them, and what
/// is no UTF-8 in a value (`obs-text`) would not be the same bytes any more. Here a field goes from the block to its head in one copy.
/// NIOHPACK is what the tests compare it with.
///
/// Memory is bounded: the table by the size that we have announced, a block by its reader, a field by the block.
/// - Source: RFC 7541.
public struct HeaderBlockDecoder: Sendable {
    /// Why a block cannot be understood. The table is of no use afterwards: the connection ends.
    public enum Failure: Error, Equatable, Sendable {
        /// The block ends in the middle of something.
        case truncated
        /// A number over 2²⁸, or written with more than five bytes (§5.1).
        case integer
        /// An index of neither table, or zero (§2.3.3, §6.1).
        case index
        /// §5.2.
        case huffman
        /// Over what we have announced, or not at the beginning of a block (§4.2).
        case tableSize
    }

    private struct Entry: Sendable {
        /// The name, and behind it the value.
        let bytes: [UInt8]
        let nameCount: Int
        let known: FieldName

        /// §4.1.
        var size: Int { bytes.count + 32 }
    }

    /// What a table may hold at most: the default, which we leave as it is.
    public static let tableBytesMax = 4096

    private var tableLimit = Self.tableBytesMax
    /// Oldest first; those before ``oldest`` are gone.
    private var entries: [Entry] = []
    private var oldest = 0
    package private(set) var tableBytes = 0
    private var nameScratch: [UInt8] = []
    private var valueScratch: [UInt8] = []

    public init() {}

    var entryCount: Int { entries.count - oldest }

    /// Reads a whole block and hands on its fields, in their order.
    public mutating func decode(
        _ block: Span<UInt8>, _ field: (_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) -> Void
    ) throws(Failure) {
        var position = 0
        var isAtStart = true
        while position < block.count {
            let first = block[position]
            if first & 0x80 != 0 {
                try give(Self.integer(block, &position, prefixBits: 7), field)
            } else if first & 0xC0 == 0x40 {
                try literal(block, &position, prefixBits: 6, isIndexed: true, field)
            } else if first & 0xE0 == 0x20 {
                let limit = try Self.integer(block, &position, prefixBits: 5)
                guard isAtStart, limit <= Self.tableBytesMax else { throw .tableSize }
                tableLimit = limit
                evict(to: limit)
                continue
            } else {
                try literal(block, &position, prefixBits: 4, isIndexed: false, field)
            }
            isAtStart = false
        }
    }

    private func give(
        _ index: Int, _ field: (_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) -> Void
    ) throws(Failure) {
        guard index > 0 else { throw .index }
        let statics = HPACKStaticTable.entries
        if index <= statics.count {
            let entry = statics[index - 1]
            return field(entry.known, entry.name.span, entry.value.span)
        }
        let entry = try dynamic(index)
        let bytes = entry.bytes.span
        field(entry.known, bytes.extracting(0..<entry.nameCount), bytes.extracting(entry.nameCount..<bytes.count))
    }

    private func dynamic(_ index: Int) throws(Failure) -> Entry {
        let position = entries.count - (index - HPACKStaticTable.entries.count)
        guard position >= oldest, position < entries.count else { throw .index }
        return entries[position]
    }

    private mutating func literal(
        _ block: Span<UInt8>, _ position: inout Int, prefixBits: Int, isIndexed: Bool,
        _ field: (_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) -> Void
    ) throws(Failure) {
        let index = try Self.integer(block, &position, prefixBits: prefixBits)
        let known: FieldName
        nameScratch.removeAll(keepingCapacity: true)
        if index == 0 {
            try Self.string(block, &position, into: &nameScratch)
            known = FieldName(nameScratch.span)
        } else if index <= HPACKStaticTable.entries.count {
            let entry = HPACKStaticTable.entries[index - 1]
            nameScratch.append(contentsOf: entry.name)
            known = entry.known
        } else {
            let entry = try dynamic(index)
            nameScratch.append(contentsOf: entry.bytes[..<entry.nameCount])
            known = entry.known
        }
        valueScratch.removeAll(keepingCapacity: true)
        try Self.string(block, &position, into: &valueScratch)
        if isIndexed { insert(Entry(bytes: nameScratch + valueScratch, nameCount: nameScratch.count, known: known)) }
        field(known, nameScratch.span, valueScratch.span)
    }

    // MARK: Table

    /// One that is larger than the whole table empties it (§4.4).
    private mutating func insert(_ entry: Entry) {
        evict(to: tableLimit - entry.size)
        guard entry.size <= tableLimit else { return }
        entries.append(entry)
        tableBytes += entry.size
    }

    private mutating func evict(to limit: Int) {
        while tableBytes > max(0, limit), oldest < entries.count {
            tableBytes -= entries[oldest].size
            oldest += 1
        }
        // 128: as many as the largest table holds.
        if oldest == entries.count || oldest >= 128 {
            entries.removeFirst(oldest)
            oldest = 0
        }
    }

    // MARK: Primitives

    /// §5.1.
    private static func integer(_ block: Span<UInt8>, _ position: inout Int, prefixBits: Int) throws(Failure) -> Int {
        guard position < block.count else { throw .truncated }
        let mask = UInt8(truncatingIfNeeded: (1 << prefixBits) - 1)
        let prefix = block[position] & mask
        position += 1
        guard prefix == mask else { return Int(prefix) }
        var value = Int(mask)
        var shift = 0
        while true {
            guard position < block.count else { throw .truncated }
            let byte = block[position]
            position += 1
            value += Int(byte & 0x7F) << shift
            if byte & 0x80 == 0 { break }
            shift += 7
            if shift > 28 { throw .integer }
        }
        if value > 1 << 28 { throw .integer }
        return value
    }

    /// §5.2.
    private static func string(_ block: Span<UInt8>, _ position: inout Int, into output: inout [UInt8]) throws(Failure) {
        guard position < block.count else { throw .truncated }
        let isCoded = block[position] & 0x80 != 0
        let count = try integer(block, &position, prefixBits: 7)
        guard count <= block.count - position else { throw .truncated }
        let bytes = block.extracting(position..<position + count)
        position += count
        if isCoded {
            guard HPACKHuffman.shared.decode(bytes, into: &output) else { throw .huffman }
        } else {
            bytes.withUnsafeBufferPointer { output.append(contentsOf: $0) }
        }
    }
}
