import HTTPSemantics
import NIOCore

/// The parts of a representation that are stored while the whole is not.
///
/// What is asked for by ranges is fetched whole where that can be stored, so that parts are few: of what is larger than is stored, and of what
/// somebody enters far from its beginning. Parts of one version — one strong validator, one length — are combined; a part of another takes
/// their place. Where a part overlaps with what is there, its own bytes stay: it is what was asked for last, and leaves last.
///
/// Immutable: what a part is added to goes on to answer whoever holds it.
/// - Source: RFC 9111 §3.3, §3.4; RFC 9110 §15.3.7.3.
final class StoredParts: Sendable {
    /// Some bytes in a row.
    private struct Segment {
        let start: Int
        let bytes: ByteBuffer
        /// Which of the additions it came with, the latest if it is joined of several.
        let addition: Int

        var range: Range<Int> { start..<start + bytes.readableBytes }

        func cut(to range: Range<Int>) -> Segment {
            let part = bytes.getSlice(at: bytes.readerIndex + range.lowerBound - start, length: range.count) ?? ByteBuffer()
            return Segment(start: range.lowerBound, bytes: part.exactCopy(), addition: addition)
        }
    }

    /// Gaps between what is stored, and one. 32: who watches a film jumps less often, and a lookup passes them one by one.
    static let runsMax = 32

    /// As of the whole: its status is 200, and it says nothing of a range.
    let response: StoredResponse
    /// Bytes of the whole.
    let count: Int
    /// In the order of the bytes, none twice.
    private let segments: [Segment]
    private let additions: Int

    private init(_ response: StoredResponse, count: Int, segments: [Segment], additions: Int) {
        self.response = response
        self.count = count
        self.segments = segments
        self.additions = additions
    }

    /// - Parameter response: of the part, as of the whole.
    /// - Precondition: ``isCombinable(_:)`` for the response; the body begins and ends within `count`.
    convenience init(_ response: StoredResponse, count: Int, body: StoredBody, at start: Int, bytesMax: Int) {
        let none = StoredParts(response, count: count, segments: [], additions: 0)
        let one = none.adding(body, at: start, response: response, bytesMax: bytesMax)
        self.init(response, count: count, segments: one.segments, additions: one.additions)
    }

    /// Whether parts of it can be told from those of another version.
    static func isCombinable(_ response: StoredResponse) -> Bool {
        // RFC 9110 §15.3.7.2: several ranges have no Content-Range of their own; whoever sends one all the same, sends no bytes of the whole.
        let fields = response.fields
        if let index = fields.firstIndex(of: .contentType),
            String(copying: fields.value(at: index)).lowercased().hasPrefix("multipart/byteranges")
        {
            return false
        }
        if let tag = response.entityTag { return !tag.isWeak }
        // A date tells no coding of the same bytes from another.
        return response.strongLastModified != nil && !fields.contains(.contentEncoding)
    }

    /// Whether a part is of the version that is stored.
    /// - Parameter response: of the part.
    func isSameVersion(as response: StoredResponse, count: Int) -> Bool {
        guard count == self.count else { return false }
        switch (self.response.entityTag, response.entityTag) {
        case (let old?, let new?): return old.stronglyMatches(new)
        case (nil, nil): break
        case (nil, _?), (_?, nil): return false
        }
        guard let old = self.response.strongLastModified, let new = response.strongLastModified else { return false }
        return old == new
    }

    /// These parts and another one of the same version.
    ///
    /// When there are more bytes than may be, or more gaps, those leave that came first.
    /// - Parameter response: what is said of the whole from now on.
    func adding(_ body: StoredBody, at start: Int, response: StoredResponse, bytesMax: Int) -> StoredParts {
        let end = min(start + body.byteCount, count)
        let addition = additions + 1
        guard start < end else { return self }
        var all: [Segment] = []
        for segment in segments {
            guard segment.start < end, segment.range.upperBound > start else {
                all.append(segment)
                continue
            }
            if segment.start < start { all.append(segment.cut(to: segment.start..<start)) }
            if end < segment.range.upperBound { all.append(segment.cut(to: end..<segment.range.upperBound)) }
        }
        var from = start
        for slice in body.slices(0..<end - start) {
            all.append(Segment(start: from, bytes: slice.exactCopy(), addition: addition))
            from += slice.readableBytes
        }
        all.sort { $0.start < $1.start }
        Self.bound(&all, bytesMax: bytesMax)
        return StoredParts(response, count: count, segments: Self.joined(all), additions: addition)
    }

    /// The same bytes, in as few pieces as their size allows: who asks for one byte after the other makes no long list.
    private static func joined(_ segments: [Segment]) -> [Segment] {
        var joined: [Segment] = []
        var group: ArraySlice<Segment> = []
        var groupBytes = 0
        func close() {
            guard let first = group.first else { return }
            let isOne = group.count == 1
            let bytes = isOne ? first.bytes : ByteBuffer.exact(joining: group.map(\.bytes)[...])
            joined.append(Segment(start: first.start, bytes: bytes, addition: group.reduce(0) { max($0, $1.addition) }))
            group = []
            groupBytes = 0
        }
        for segment in segments {
            let isNext = group.last?.range.upperBound == segment.start
            if !isNext || groupBytes + segment.bytes.readableBytes > StoredBody.pieceBytes { close() }
            group.append(segment)
            groupBytes += segment.bytes.readableBytes
        }
        close()
        return joined
    }

    private static func bound(_ segments: inout [Segment], bytesMax: Int) {
        while segments.reduce(0, { $0 + $1.bytes.readableBytes }) > bytesMax || runs(segments).count > runsMax {
            guard let oldest = segments.indices.min(by: { segments[$0].addition < segments[$1].addition }) else { return }
            segments.remove(at: oldest)
        }
    }

    private static func runs(_ segments: [Segment]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for segment in segments {
            if let last = runs.last, last.upperBound == segment.start {
                runs[runs.count - 1] = last.lowerBound..<segment.range.upperBound
            } else {
                runs.append(segment.range)
            }
        }
        return runs
    }

    // MARK: What is there

    /// What is stored, in the order of the bytes, as far as it hangs together.
    var runs: [Range<Int>] { Self.runs(segments) }

    /// All of it, when nothing is missing.
    var whole: StoredBody? {
        guard runs == [0..<count] else { return nil }
        return StoredBody(parts: segments.map(\.bytes))
    }

    /// The bytes of a range, in their order and without copying; `nil` when some are missing.
    func slices(_ range: Range<Int>) -> [ByteBuffer]? {
        var found: [ByteBuffer] = []
        var position = range.lowerBound
        for segment in segments where segment.range.upperBound > range.lowerBound && segment.start < range.upperBound {
            guard segment.start <= position else { return nil }
            let end = min(segment.range.upperBound, range.upperBound)
            guard let slice = segment.bytes.getSlice(at: segment.bytes.readerIndex + position - segment.start, length: end - position) else {
                return nil
            }
            found.append(slice)
            position = end
        }
        return position == range.upperBound ? found : nil
    }

    /// What it takes in memory, in bytes, besides the response.
    var memoryBytes: Int {
        segments.reduce(
            AllocatedBytes.object(MemoryLayout<(StoredResponse, Int, [Segment], Int)>.size) + AllocatedBytes.array(segments)
        ) { $0 + AllocatedBytes.buffer($1.bytes) }
    }
}
