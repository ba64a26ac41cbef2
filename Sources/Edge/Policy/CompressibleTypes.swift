import HTTPSemantics

/// The types of a route that get smaller, and the last answer: an application sends few types, and to look one up costs a string and a
/// hash, some 2,000 instructions. Belongs to its event loop.
final class CompressibleTypes {
    /// What is remembered; types in use are shorter.
    private static let bytesMax = 128

    private let extra: [String]
    private var last: [UInt8] = []
    private var isLastOne = false

    /// - Parameter extra: types besides those of ``CompressionPolicy/types``, in any case.
    init(extra: [String]) {
        self.extra = extra
    }

    /// - Parameter contentType: the field's value, with its parameters.
    func contains(_ contentType: Span<UInt8>) -> Bool {
        if isLast(contentType) { return isLastOne }
        let isOne = MediaType(contentType).map { CompressionPolicy.isCompressible($0, extra: extra) } ?? false
        if contentType.count <= Self.bytesMax {
            last.removeAll(keepingCapacity: true)
            contentType.withUnsafeBufferPointer { last.append(contentsOf: $0) }
            isLastOne = isOne
        }
        return isOne
    }

    private func isLast(_ contentType: Span<UInt8>) -> Bool {
        guard contentType.count == last.count, !last.isEmpty else { return false }
        for index in contentType.indices where contentType[index] != last[index] { return false }
        return true
    }
}
