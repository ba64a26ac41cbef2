import RESPWire
import TestSupport
import Testing

@Suite struct RequestParserTests {
    /// All requests in some bytes, which arrive in pieces of a size.
    private func requests(_ text: String, pieces: Int = .max, limits: RESPLimits = RESPLimits()) throws(RESPError) -> [[String]] {
        var parser = RequestParser(limits: limits)
        let bytes = Array(text.utf8)
        var received: [UInt8] = []
        var found: [[String]] = []
        var next = 0
        while next < bytes.count {
            let end = pieces < bytes.count - next ? next + pieces : bytes.count
            received += bytes[next..<end]
            next = end
            while let taken = try read(&parser, received, &found) { received.removeFirst(taken) }
        }
        return found
    }

    /// - Returns: the bytes that a request took; `nil` when there is none.
    private func read(_ parser: inout RequestParser, _ bytes: [UInt8], _ found: inout [[String]]) throws(RESPError) -> Int? {
        switch try bytes.withUnsafeBufferPointer({ bytes throws(RESPError) in try parser.next(UnsafeRawBufferPointer(bytes)) }) {
        case .wait: return nil
        case .nothing(let count): return count
        case .request(let count):
            let source = parser.isUnquoted ? parser.unquoted : bytes
            found.append(parser.arguments.map { String(decoding: source[$0.offset..<$0.offset + $0.count], as: UTF8.self) })
            return count
        }
    }

    @Test(arguments: [1, 2, 3, 5, 7, 100])
    func `requests are read whatever pieces they come in`(pieces: Int) throws {
        let text = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\nPING\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n\r\n  set a \"b c\\x41\\n\" 'd\\'e'\n"
        #expect(
            try requests(text, pieces: pieces) == [["GET", "k"], ["PING"], ["SET", "", "\r\n\r\n"], ["set", "a", "b cA\n", "d'e"]])
    }

    @Test(arguments: [
        ("*x\r\n", RESPError(.argumentCountInvalid)), ("*1048577\r\n", RESPError(.argumentCountInvalid)),
        ("*99999999999999999999\r\n", RESPError(.argumentCountInvalid)), ("*01\r\n", RESPError(.argumentCountInvalid)), ("*\r\n", RESPError(.argumentCountInvalid)),
        ("*1\r\n$03\r\nabc\r\n", RESPError(.argumentLengthInvalid)), ("*1\r\n$\r\n", RESPError(.argumentLengthInvalid)), ("*1\r\n$1\r\r\n", RESPError(.argumentLengthInvalid)),
        ("*1\r\n$-1\r\n", RESPError(.argumentLengthInvalid)),
        ("*1\r\n$536870913\r\n", RESPError(.argumentLengthInvalid)), ("*1\r\n:1\r\n", RESPError(.argumentExpected, got: 58)),
        ("set \"a\n", RESPError(.quotesUnbalanced)), ("set \"a\"b\n", RESPError(.quotesUnbalanced)),
        (String(repeating: "a", count: 65537), RESPError(.inlineTooLong)),
        ("*" + String(repeating: "1", count: 65537), RESPError(.countLineTooLong)),
        ("*1\r\n$" + String(repeating: "1", count: 65537), RESPError(.lengthLineTooLong)),
    ])
    func `what loses the framing is refused with a reason`(text: String, error: RESPError) {
        #expect(throws: error) { try requests(text) }
        #expect(throws: error) { try requests(text, pieces: 1000) }
    }

    @Test func `limits hold at n and not at n + 1`() throws {
        var limits = RESPLimits()
        limits.argumentCountMax = 2
        limits.argumentBytesMax = 3
        #expect(try requests("*2\r\n$3\r\nabc\r\n$0\r\n\r\n", limits: limits) == [["abc", ""]])
        #expect(throws: RESPError(.argumentCountInvalid)) { try requests("*3\r\n", limits: limits) }
        #expect(throws: RESPError(.argumentLengthInvalid)) { try requests("*1\r\n$4\r\n", limits: limits) }
        limits.requestBytesMax = 11
        #expect(try requests("*1\r\n$3\r\nabc\r\n", limits: limits) == [["abc"]])
        limits.requestBytesMax = 10
        #expect(throws: RESPError(.requestTooLarge)) { try requests("*1\r\n$3\r\nabc\r\n", limits: limits) }
    }

    @Test func `arbitrary bytes are refused or read, never more`() {
        var random = SeededRandom(seed: 7)
        let alphabet = Array("*$:\r\n0123456789-\"'\\xag ".utf8)
        for _ in 0..<5000 {
            let text = String(decoding: (0..<Int.random(in: 0...40, using: &random)).map { _ in random.pick(alphabet) }, as: UTF8.self)
            let whole = Result { try requests(text) }
            let split = Result { try requests(text, pieces: 1) }
            #expect("\(whole)" == "\(split)", "\(text.debugDescription)")
        }
    }
}
