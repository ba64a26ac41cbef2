import RESPWire

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]`.
/// - Source: Redis `t_string.c`, `lcsCommand`.
enum LongestCommonSubsequence {
    /// Cells of the table; two strings of 8 KB need all of them.
    static let cellsMax = 64 << 20

    static func lcs(_ call: Call) throws(CommandFailure) {
        // Both are looked up before either is refused: keys tell of it.
        let entries = [call.read(call.key(1)), call.read(call.key(2))]
        guard entries.allSatisfy({ $0 == nil || $0?.type == .string }) else { throw .err("The specified keys must contain string values") }
        let values = entries.map { $0.map { [UInt8]($0.value) } ?? [] }
        var (wantsLength, wantsIndices, withLengths) = (false, false, false)
        var lengthMin: Int64 = 0
        var index = 3
        while index < call.count {
            if call.matches(index, "idx") {
                wantsIndices = true
            } else if call.matches(index, "len") {
                wantsLength = true
            } else if call.matches(index, "withmatchlen") {
                withLengths = true
            } else if call.matches(index, "minmatchlen"), index + 1 < call.count {
                lengthMin = max(try call.integer(index + 1), 0)
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        guard !(wantsLength && wantsIndices) else {
            throw .err("If you want both the length and indexes, please just use IDX.")
        }
        let (a, b) = (values[0], values[1])
        let (cells, isOver) = (a.count + 1).multipliedReportingOverflow(by: b.count + 1)
        guard !isOver, cells <= cellsMax else { throw .err("String too long for LCS") }
        var table = [UInt32](repeating: 0, count: cells)
        let width = b.count + 1
        for i in 0..<a.count {
            for j in 0..<b.count {
                table[(i + 1) * width + j + 1] =
                    a[i] == b[j] ? table[i * width + j] + 1 : max(table[i * width + j + 1], table[(i + 1) * width + j])
            }
        }
        let length = Int(table[cells - 1])
        if wantsLength { return call.out.integer(length) }
        var result: [UInt8] = []
        var matches: [(a: Int, b: Int, count: Int)] = []
        var (i, j) = (a.count, b.count)
        while i > 0, j > 0 {
            if a[i - 1] == b[j - 1] {
                result.append(a[i - 1])
                i -= 1
                j -= 1
                if let last = matches.last, last.a == i + 1, last.b == j + 1 {
                    matches[matches.count - 1] = (i, j, last.count + 1)
                } else {
                    matches.append((i, j, 1))
                }
            } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
                i -= 1
            } else {
                j -= 1
            }
        }
        guard wantsIndices else { return call.out.bulk([UInt8](result.reversed())) }
        let shown = matches.filter { $0.count >= lengthMin }
        call.out.map(2)
        call.out.bulk("matches")
        call.out.array(shown.count)
        for match in shown {
            call.out.array(withLengths ? 3 : 2)
            for start in [match.a, match.b] {
                call.out.array(2)
                call.out.integer(start)
                call.out.integer(start + match.count - 1)
            }
            if withLengths { call.out.integer(match.count) }
        }
        call.out.bulk("len")
        call.out.integer(length)
    }
}
