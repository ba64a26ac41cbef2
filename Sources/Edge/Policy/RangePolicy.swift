import HTTPSemantics

/// What of a file a client gets that asks for ranges of it.
///
/// Ranges that overlap, or lie nearer to each other than the head of a part is long, are sent as one, so that no request makes an
/// answer that is longer than the file and a few heads. More than ``rangesMax`` ranges are no range request: the whole comes.
/// - Source: RFC 9110 §13.1.5, §14.2, §15.3.7, §15.5.17, §17.15.
enum RangePolicy {
    enum Answer: Equatable {
        case whole
        /// 206 with one part.
        case part(Range<Int>)
        /// 206, `multipart/byteranges`: two parts at least.
        case parts([Range<Int>])
        /// 416.
        case unsatisfiable
    }

    /// 16: what viewers of documents ask for at a time; nobody needs more in one request.
    static let rangesMax = 16
    /// Nearer ranges are one: a part's head takes about as many bytes.
    private static let gapMax = 80

    /// - Parameters:
    ///   - count: bytes of the representation.
    ///   - entityTag: `nil` when it has none.
    ///   - lastModified: Unix seconds; `nil` when there is none, or it is too young to tell one version from the next (RFC 9110 §8.8.2.2).
    static func answer(_ request: borrowing RequestHead, count: Int, entityTag: EntityTag?, lastModified: Int64?) -> Answer {
        guard request.method == .get, request.fields.count(of: .range) == 1, let index = request.fields.firstIndex(of: .range),
            let ranges = ByteRange.parse(request.fields.value(at: index)), ranges.count <= rangesMax,
            isCurrent(request.fields, entityTag: entityTag, lastModified: lastModified)
        else { return .whole }
        let found = ranges.compactMap { $0.resolved(count: count) }
        guard !found.isEmpty else { return .unsatisfiable }
        let merged = merged(found)
        return merged.count == 1 ? .part(merged[0]) : .parts(merged)
    }

    /// Whether `If-Range`, if there is one, names what we have: by the very tag, or the very date.
    private static func isCurrent(_ fields: borrowing FieldSection, entityTag: EntityTag?, lastModified: Int64?) -> Bool {
        guard let index = fields.firstIndex(of: .ifRange) else { return true }
        guard fields.count(of: .ifRange) == 1 else { return false }
        if let tag = EntityTag(fields.value(at: index)) { return entityTag.map(tag.stronglyMatches) ?? false }
        guard let lastModified else { return false }
        return HTTPDate.parse(fields.value(at: index)) == lastModified
    }

    /// In the order that was asked for, unless some of them become one: then in that of the bytes.
    private static func merged(_ ranges: [Range<Int>]) -> [Range<Int>] {
        var merged: [Range<Int>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, range.lowerBound - last.upperBound <= gapMax {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        return merged.count == ranges.count ? ranges : merged
    }
}

/// Whether a range that is not stored is asked for as such, and the part is stored.
///
/// As a rule the whole is fetched once for all who ask, and ranges come from it. That would have somebody wait who enters a film in its middle,
/// and it cannot be done with what is too large to be stored.
enum PartWish {
    /// Several ranges, one together with other conditions than `If-Range`, or no range.
    case none
    /// When the whole cannot be had, or parts of it are there.
    case ifParts
    /// What comes before the range is more than one should wait for.
    case always

    /// 1 MiB: about what comes of a fast network while a connection is made.
    static let bytesBeforeMax = 1 << 20

    init(_ request: borrowing RequestHead) {
        self = .none
        guard request.fields.contains(.range), request.method == .get, request.fields.count(of: .range) == 1,
            !Self.hasOtherConditions(request.fields), let index = request.fields.firstIndex(of: .range),
            let ranges = ByteRange.parse(request.fields.value(at: index)), ranges.count == 1
        else { return }
        if case .from(let first, _) = ranges[0], first >= Self.bytesBeforeMax { self = .always } else { self = .ifParts }
    }

    /// Conditions besides `If-Range`: parts are not compared with them.
    static func hasOtherConditions(_ fields: borrowing FieldSection) -> Bool {
        fields.contains(.ifNoneMatch) || fields.contains(.ifMatch) || fields.contains(.ifModifiedSince) || fields.contains(.ifUnmodifiedSince)
    }
}

/// The bytes between the parts of a `multipart/byteranges`.
/// - Source: RFC 9110 §14.6; RFC 2046 §5.1.1.
struct MultipartRanges {
    let boundary: String
    /// What comes before each part; the last one ends the body.
    let heads: [[UInt8]]
    /// All of the body.
    let byteCount: Int

    /// - Parameter number: makes the boundary: sixteen digits that nobody can have put into the file.
    init(_ ranges: [Range<Int>], of count: Int, contentType: String, number: UInt64) {
        let digits = String(number, radix: 16)
        boundary = "headrace-" + String(repeating: "0", count: 16 - digits.utf8.count) + digits
        var heads: [[UInt8]] = []
        var total = 0
        for (index, range) in ranges.enumerated() {
            let head = """
                \(index == 0 ? "" : "\r\n")--\(boundary)\r\nContent-Type: \(contentType)\r\n\
                Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(count)\r\n\r\n
                """
            heads.append(Array(head.utf8))
            total += head.utf8.count + range.count
        }
        let end = "\r\n--\(boundary)--\r\n"
        heads.append(Array(end.utf8))
        self.heads = heads
        byteCount = total + end.utf8.count
    }
}
