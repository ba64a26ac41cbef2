import Crypto
import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Judges one response as its parts come: whether it is the one that was expected. No I/O, no clock.
///
/// It keeps nothing of the body but, for a text that is looked for, as many bytes as a piece of it at the end of a part may have.
struct ResponseCheck {
    private var expectation = ResponseExpectation()
    /// So far; of a text, whether it was found.
    private var isBodyAsExpected = true
    private var digest: SHA256?
    /// The end of what came, shorter than the text that is looked for.
    private var tail: [UInt8] = []
    /// Bytes of the body, as they are transferred but for the framing.
    private(set) var bodyByteCount = 0

    mutating func begin(_ expectation: ResponseExpectation) {
        self.expectation = expectation
        bodyByteCount = 0
        isBodyAsExpected = true
        switch expectation.body {
        case .any, .length, .bytes: break
        case .sha256: digest = SHA256()
        case .text(let text):
            isBodyAsExpected = text.isEmpty
            tail.removeAll(keepingCapacity: true)
        }
    }

    /// - Parameter part: of the body, in its order.
    mutating func take(_ part: ByteBuffer) {
        let start = bodyByteCount
        bodyByteCount += part.readableBytes
        guard part.readableBytes > 0 else { return }
        switch expectation.body {
        case .any, .length: break
        case .bytes(let expected):
            guard isBodyAsExpected else { return }
            isBodyAsExpected =
                bodyByteCount <= expected.count
                && part.withUnsafeReadableBytes { actual in
                    expected.withUnsafeBytes { memcmp($0.baseAddress! + start, actual.baseAddress!, actual.count) == 0 }
                }
        case .sha256: part.withUnsafeReadableBytes { digest?.update(bufferPointer: $0) }
        case .text(let text): if !isBodyAsExpected { look(for: text, in: part) }
        }
    }

    /// What is wrong with a response that is complete; `nil` when nothing is.
    func verdict(status: Int) -> FailureKind? {
        guard expectation.accepts(status: status) else { return .status }
        switch expectation.body {
        case .any: return nil
        case .length(let count): return bodyByteCount == count ? nil : .content
        case .bytes(let expected): return isBodyAsExpected && bodyByteCount == expected.count ? nil : .content
        case .sha256(let expected): return digest.map { Array($0.finalize()) } == expected ? nil : .content
        case .text: return isBodyAsExpected ? nil : .content
        }
    }

    private mutating func look(for text: [UInt8], in part: ByteBuffer) {
        let kept = text.count - 1
        // Across the border: what was left, and as much of the part as could complete it.
        if !tail.isEmpty {
            let border = tail + part.readableBytesView.prefix(kept)
            if border.withUnsafeBytes({ Self.contains($0, text) }) { return isBodyAsExpected = true }
        }
        if part.withUnsafeReadableBytes({ Self.contains($0, text) }) { return isBodyAsExpected = true }
        tail.append(contentsOf: part.readableBytesView.suffix(kept))
        if tail.count > kept { tail.removeFirst(tail.count - kept) }
    }

    private static func contains(_ bytes: UnsafeRawBufferPointer, _ text: [UInt8]) -> Bool {
        text.withUnsafeBytes { text in
            guard let base = bytes.baseAddress, let wanted = text.baseAddress else { return false }
            var place = 0
            // No memmem: it is glibc's, and not in the module of the C library.
            while bytes.count - place >= text.count {
                guard let found = memchr(base + place, Int32(text[0]), bytes.count - place - text.count + 1) else { return false }
                if memcmp(found, wanted, text.count) == 0 { return true }
                place = UnsafeRawPointer(found) - base + 1
            }
            return false
        }
    }
}
