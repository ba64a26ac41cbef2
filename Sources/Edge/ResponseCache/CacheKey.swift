import HTTPSemantics

/// The primary key of a stored response: the authority in lower case without the default port or an empty one, a line feed,
/// the request target as it was sent, and what tells the responses of the request's route from those of others.
///
/// The method is no part of it: only GET fills the cache, and HEAD is answered from what GET stored.
/// - Source: RFC 9111 §2; RFC 3986 §6.2.2.1 for the case of the authority.
struct CacheKey: Sendable, Equatable {
    var bytes: [UInt8]
    var hash: UInt64

    /// Builds the key of `head` in `self`, reusing the memory: on a hit the key is never kept.
    /// - Parameter scope: ``RouteConfiguration/cacheScope``.
    mutating func assign(_ head: borrowing RequestHead, scope: [UInt8], seed: UInt64) {
        bytes.removeAll(keepingCapacity: true)
        let text = head.fields.bytes.span
        let authority = head.authority
        var end = authority.upperBound
        if authority.count > 3, text[end - 3] == UInt8(ascii: ":"), text[end - 2] == UInt8(ascii: "8"),
            text[end - 1] == UInt8(ascii: "0")
        {
            end -= 3
        } else if authority.count > 1, text[end - 1] == UInt8(ascii: ":") {
            end -= 1
        }
        text.extracting(authority.lowerBound..<end).withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        for index in bytes.indices where bytes[index] &- UInt8(ascii: "A") < 26 { bytes[index] |= 0x20 }
        bytes.append(UInt8(ascii: "\n"))
        text.extracting(head.target).withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        if !scope.isEmpty {
            bytes.append(UInt8(ascii: "\n"))
            bytes.append(contentsOf: scope)
        }
        hash = KeyHash.hash(bytes.span, seed: seed)
    }

    /// The key by the rules of a route; without rules, and for a client that came without TLS and names no other host, the one of above.
    mutating func assign(_ head: borrowing RequestHead, _ keying: CacheKeying, client: borrowing ClientIdentity, seed: UInt64) {
        guard keying.rules != nil || client.isSecure || client.host != nil else { return assign(head, scope: keying.scope, seed: seed) }
        bytes.removeAll(keepingCapacity: true)
        keying.append(head, client: client, to: &bytes)
        hash = KeyHash.hash(bytes.span, seed: seed)
    }

    /// Takes over a key that was put together elsewhere.
    mutating func assign(bytes: [UInt8], seed: UInt64) {
        self.bytes = bytes
        hash = KeyHash.hash(bytes.span, seed: seed)
    }

    init() {
        bytes = []
        hash = 0
    }
}

/// The hash of cache keys: multiply and fold, eight bytes at a time, with a seed drawn at the start.
///
/// The seed is what keeps a client from choosing targets that collide. Equality is always decided on the key's bytes; a
/// collision costs a comparison and nothing else.
enum KeyHash {
    static func hash(_ bytes: Span<UInt8>, seed: UInt64) -> UInt64 {
        let raw = bytes.bytes
        let count = raw.byteCount
        var state = seed ^ (UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15)
        var offset = 0
        while offset + 8 <= count {
            state = fold(state ^ raw.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < count {
            tail = tail &<< 8 | UInt64(bytes[offset])
            offset += 1
        }
        return fold(fold(state ^ tail) ^ seed)
    }

    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
        return product.high ^ product.low
    }
}
