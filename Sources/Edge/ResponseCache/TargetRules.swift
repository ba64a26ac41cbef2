import HTTPSemantics

/// What becomes of a request's target: see ``CacheKeyRules``.
struct TargetRules: Sendable, Equatable {
    private let sortsQuery: Bool
    private let ignored: [NamePattern]
    private let selected: [NamePattern]
    private let normalisesPath: Bool

    /// `nil` when the target stays as it is.
    init?(_ rules: CacheKeyRules) {
        guard rules.sortsQuery || rules.normalisesPath || !rules.ignoredParameters.isEmpty || !rules.selectedParameters.isEmpty else { return nil }
        sortsQuery = rules.sortsQuery
        ignored = rules.ignoredParameters.map(NamePattern.init)
        selected = rules.selectedParameters.map(NamePattern.init)
        normalisesPath = rules.normalisesPath
    }

    func append(_ target: Span<UInt8>, to key: inout [UInt8]) {
        var queryStart = 0
        while queryStart < target.count, target[queryStart] != UInt8(ascii: "?") { queryStart += 1 }
        let path = target.extracting(0..<queryStart)
        if normalisesPath {
            Self.append(normalised: path, to: &key)
        } else {
            path.withUnsafeBufferPointer { key.append(contentsOf: $0) }
        }
        guard queryStart < target.count else { return }
        let changesQuery = sortsQuery || !ignored.isEmpty || !selected.isEmpty
        guard changesQuery else {
            target.extracting(queryStart..<target.count).withUnsafeBufferPointer { key.append(contentsOf: $0) }
            return
        }
        var parameters = self.parameters(target, from: queryStart + 1)
        if sortsQuery {
            // Stable by the place: what stands twice means something in its order.
            parameters.sort { left, right in
                let order = Self.compare(target.extracting(left.name), target.extracting(right.name))
                return order == 0 ? left.whole.lowerBound < right.whole.lowerBound : order < 0
            }
        }
        for (index, parameter) in parameters.enumerated() {
            key.append(index == 0 ? UInt8(ascii: "?") : UInt8(ascii: "&"))
            target.extracting(parameter.whole).withUnsafeBufferPointer { key.append(contentsOf: $0) }
        }
    }

    private struct Parameter {
        var name: Range<Int>
        var whole: Range<Int>
    }

    private func parameters(_ target: Span<UInt8>, from first: Int) -> [Parameter] {
        var parameters: [Parameter] = []
        var start = first
        while start <= target.count {
            var end = start
            var nameEnd: Int?
            while end < target.count, target[end] != UInt8(ascii: "&") {
                if nameEnd == nil, target[end] == UInt8(ascii: "=") { nameEnd = end }
                end += 1
            }
            let name = start..<(nameEnd ?? end)
            if end > start, counts(target.extracting(name)) { parameters.append(Parameter(name: name, whole: start..<end)) }
            start = end + 1
        }
        return parameters
    }

    private func counts(_ name: Span<UInt8>) -> Bool {
        // By a function and not by `contains`: a closure cannot take a span along.
        if Self.matches(ignored, name) { return false }
        return selected.isEmpty || Self.matches(selected, name)
    }

    private static func matches(_ patterns: [NamePattern], _ name: Span<UInt8>) -> Bool {
        for pattern in patterns where pattern.matches(name) { return true }
        return false
    }

    private static func compare(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Int {
        for index in 0..<min(left.count, right.count) where left[index] != right[index] { return left[index] < right[index] ? -1 : 1 }
        return left.count - right.count
    }

    /// Escapes of unreserved characters are undone, and the digits of others are capitals.
    /// - Source: RFC 3986 §2.3, §6.2.2.1, §6.2.2.2.
    private static func append(normalised path: Span<UInt8>, to key: inout [UInt8]) {
        var index = 0
        while index < path.count {
            let byte = path[index]
            guard byte == UInt8(ascii: "%"), index + 2 < path.count, let high = digit(path[index + 1]), let low = digit(path[index + 2]) else {
                key.append(byte)
                index += 1
                continue
            }
            let decoded = high << 4 | low
            let isUnreserved = (decoded | 0x20) &- 0x61 < 26 || decoded &- 0x30 < 10 || decoded == UInt8(ascii: "-") || decoded == UInt8(ascii: "_")
                || decoded == UInt8(ascii: "~")
            // A dot is unreserved, too; but undone it could make a segment that leads up.
            if isUnreserved {
                key.append(decoded)
            } else {
                key.append(byte)
                key.append(capital(path[index + 1]))
                key.append(capital(path[index + 2]))
            }
            index += 3
        }
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private static func capital(_ byte: UInt8) -> UInt8 { byte &- 0x61 < 26 ? byte & ~0x20 : byte }
}

/// A name, in which one `*` stands for anything.
struct NamePattern: Sendable, Equatable {
    private let head: [UInt8]
    /// `nil` without a `*`.
    private let tail: [UInt8]?

    init(_ text: String) {
        let bytes = Array(text.utf8)
        if let star = bytes.firstIndex(of: UInt8(ascii: "*")) {
            head = Array(bytes[..<star])
            tail = Array(bytes[(star + 1)...])
        } else {
            head = bytes
            tail = nil
        }
    }

    func matches(_ name: Span<UInt8>) -> Bool {
        let tailCount = tail?.count ?? 0
        guard tail == nil ? name.count == head.count : name.count >= head.count + tailCount else { return false }
        for index in head.indices where name[index] != head[index] { return false }
        guard let tail else { return true }
        for index in tail.indices where name[name.count - tailCount + index] != tail[index] { return false }
        return true
    }
}
