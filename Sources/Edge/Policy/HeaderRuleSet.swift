import HTTPSemantics
import NIOCore

/// A route's ``HeaderRules``, ready to be applied to a head that has just been written: to whatever goes upstream, and to whatever
/// answer goes to the client, be it stored, passed through, or the edge's own.
///
/// Lines are dropped in place and the new ones are one run of bytes, so that a stored answer stays one copy.
struct HeaderRuleSet: Sendable {
    /// In lower case.
    private let dropped: [[UInt8]]
    /// Whole lines.
    private let lines: [UInt8]

    /// `nil` when there is nothing to do.
    init?(_ rules: HeaderRules) {
        guard !rules.isEmpty else { return nil }
        dropped = (rules.removed + rules.set.map(\.name)).map { Array($0.lowercased().utf8) }
        lines = (rules.set + rules.added).flatMap { Array("\($0.name): \($0.value)\r\n".utf8) }
    }

    /// Whether a field of a request is dropped for what an application may take it for: in CGI, WSGI, Rack and PHP `X_User` and `X-User` are both
    /// `HTTP_X_USER`.
    /// - Source: RFC 3875 §4.1.18.
    func isImitated(by spelled: Span<UInt8>) -> Bool {
        for name in dropped where AmbiguousFields.isSame(spelled, name, anyHyphen: true) { return true }
        return false
    }

    /// Whether what the other side says in a field does not go through.
    /// - Parameter name: in lower case.
    func drops(_ name: StaticString) -> Bool {
        dropped.contains { $0.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) }
    }

    /// - Parameters:
    ///   - output: ends behind the last field line; the empty line is not written yet.
    ///   - start: where the head's start line begins, counted from the buffer's reader index.
    func apply(to output: inout ByteBuffer, from start: Int) {
        if !dropped.isEmpty {
            let count = output.withUnsafeMutableReadableBytes { drop(in: $0, from: start) }
            output.moveWriterIndex(to: output.readerIndex + count)
        }
        output.writeBytes(lines)
    }

    /// - Returns: how many bytes are left.
    private func drop(in bytes: UnsafeMutableRawBufferPointer, from start: Int) -> Int {
        var kept = start
        var lineStart = start
        var isFirst = true
        while lineStart < bytes.count {
            var end = lineStart
            while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
            end = min(end + 1, bytes.count)
            if isFirst || !isDropped(bytes, lineStart..<end) {
                if kept < lineStart {
                    UnsafeMutableRawBufferPointer(rebasing: bytes[kept..<kept + (end - lineStart)])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[lineStart..<end]))
                }
                kept += end - lineStart
            }
            isFirst = false
            lineStart = end
        }
        return min(kept, bytes.count)
    }

    private func isDropped(_ bytes: UnsafeMutableRawBufferPointer, _ line: Range<Int>) -> Bool {
        for name in dropped where line.count > name.count && bytes[line.lowerBound + name.count] == UInt8(ascii: ":") {
            var index = 0
            while index < name.count, ASCII.lowercased(bytes[line.lowerBound + index]) == name[index] { index += 1 }
            if index == name.count { return true }
        }
        return false
    }
}

extension HeaderRules {
    /// Fields that frame a message or belong to one connection: rules on them would break the message, so they are refused.
    /// - Source: RFC 9110 §7.6.1; RFC 9112 §6.
    public static let untouchable: Set<String> = [
        "connection", "content-encoding", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    ]
}
