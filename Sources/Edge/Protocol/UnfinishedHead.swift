import HTTPSemantics

/// What a request's head says of it that was refused, or of which the rest did not come: for the access log, and for nothing else.
///
/// A target that has no end yet is kept as far as it has come; a host only with the end of its line.
struct UnfinishedHead {
    private(set) var method = 0..<0
    private(set) var target = 0..<0
    private(set) var authority = 0..<0

    init(_ bytes: Span<UInt8>) {
        var end = Self.endOfWord(bytes, 0)
        // What is no word and a space is not HTTP/1, and most often binary.
        guard end > 0, end < bytes.count, bytes[end] == UInt8(ascii: " ") else { return }
        method = 0..<end
        let start = end + 1
        end = Self.endOfWord(bytes, start)
        target = start..<end
        while let lineFeed = Self.lineFeed(bytes, end) {
            let line = lineFeed + 1
            guard let next = Self.lineFeed(bytes, line) else { return }
            if let value = Self.host(bytes, line..<next) {
                authority = value
                return
            }
            end = next
        }
    }

    private static func endOfWord(_ bytes: Span<UInt8>, _ start: Int) -> Int {
        var index = start
        while index < bytes.count, bytes[index] > 0x20, bytes[index] < 0x7F { index += 1 }
        return index
    }

    private static func lineFeed(_ bytes: Span<UInt8>, _ start: Int) -> Int? {
        var index = start
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "\n") { return index }
            index += 1
        }
        return nil
    }

    /// The value of a line that is `Host`.
    private static func host(_ bytes: Span<UInt8>, _ line: Range<Int>) -> Range<Int>? {
        let name: StaticString = "host:"
        guard line.count > name.utf8CodeUnitCount else { return nil }
        for index in 0..<name.utf8CodeUnitCount where ASCII.lowercased(bytes[line.lowerBound + index]) != name.utf8Start[index] { return nil }
        var start = line.lowerBound + name.utf8CodeUnitCount
        while start < line.upperBound, bytes[start] == UInt8(ascii: " ") || bytes[start] == UInt8(ascii: "\t") { start += 1 }
        return start..<endOfWord(bytes, start)
    }
}
