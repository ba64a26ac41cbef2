import HTTPSemantics
import NIOCore

/// What is known of a stored response, whichever coding it is served in. Immutable: a revalidation makes a new one.
/// - Source: RFC 9111 §3.
final class StoredResponse: Sendable {
    let status: Int
    /// The header section as the application sent it, without hop-by-hop fields.
    let fields: FieldSection
    let cacheControl: CacheControl
    /// The application's own validators.
    let entityTag: EntityTag?
    let lastModified: Int64?
    /// Freshness lifetime and age at the moment of ``received``, in seconds.
    let lifetimeSeconds: Int
    let initialAgeSeconds: Int
    let received: NIODeadline
    /// The codings besides identity in which this response may be served; empty when it must stay as it is.
    let codings: CodingSet
    /// By what in a request the response was chosen.
    let vary: VaryNames
    /// What browsers are told about keeping it, besides what the application says.
    let browserCaching: BrowserCachingAdvice?
    /// By what it can be purged; see ``DependencyTags``.
    let tags: [UInt64]
    /// A soft purge made it stale.
    let isPurged: Bool

    /// - Parameters:
    ///   - wasAskedForPlain: the application was asked for the plain response whatever the client accepts, so that it did
    ///     not choose by `Accept-Encoding` even if it says so.
    ///   - hasKeyedLanguage: its language is in the key, and the application was asked for that one alone.
    ///   - urlTag: see ``CacheKeying/urlTag(_:client:)``.
    init(
        head: ResponseHead, fields: FieldSection, cacheControl: CacheControl, lifetimeSeconds: Int, initialAgeSeconds: Int,
        received: NIODeadline, codings: CodingSet, wasAskedForPlain: Bool, browserCaching: BrowserCachingAdvice? = nil,
        hasKeyedLanguage: Bool = false, urlTag: UInt64? = nil
    ) {
        var named = VaryNames(fields)
        if wasAskedForPlain { named = named.without("accept-encoding") }
        if hasKeyedLanguage { named = named.without("accept-language") }
        vary = named
        status = head.status
        self.fields = fields
        self.cacheControl = cacheControl
        entityTag = fields.firstIndex(of: .etag).flatMap { EntityTag(fields.value(at: $0)) }
        lastModified = fields.firstIndex(of: .lastModified).flatMap { HTTPDate.parse(fields.value(at: $0)) }
        self.lifetimeSeconds = lifetimeSeconds
        self.initialAgeSeconds = initialAgeSeconds
        self.received = received
        self.codings = codings
        self.browserCaching = browserCaching
        tags = DependencyTags(fields).hashes + (urlTag.map { [$0] } ?? [])
        isPurged = false
    }

    /// The same response, stale from some time on: what a soft purge makes of it. Nothing else changes, so that it may be served stale
    /// and revalidated as one whose lifetime is over.
    init(_ other: StoredResponse, staleFrom time: NIODeadline) {
        status = other.status
        fields = other.fields
        cacheControl = other.cacheControl
        entityTag = other.entityTag
        lastModified = other.lastModified
        lifetimeSeconds = max(0, min(other.lifetimeSeconds, other.ageSeconds(now: time)))
        initialAgeSeconds = other.initialAgeSeconds
        received = other.received
        codings = other.codings
        vary = other.vary
        browserCaching = other.browserCaching
        tags = other.tags
        isPurged = true
    }

    /// What it takes in memory, in bytes: this object and the arrays of its own.
    var memoryBytes: Int {
        AllocatedBytes.object(
            MemoryLayout<(Int, FieldSection, CacheControl, EntityTag?, Int64?, Int, Int, NIODeadline, CodingSet, VaryNames, BrowserCachingAdvice?, [UInt64], Bool)>.size)
            + AllocatedBytes.array(fields.bytes) + AllocatedBytes.array(fields.lines)
            + AllocatedBytes.array(entityTag?.opaque ?? []) + AllocatedBytes.array(vary.names)
            + vary.names.reduce(0) { $0 + AllocatedBytes.array($1) } + (browserCaching?.memoryBytes ?? 0) + AllocatedBytes.array(tags)
    }

    /// Whether the application can be asked if the response is still current.
    var hasValidator: Bool { entityTag != nil || lastModified != nil }

    /// `Last-Modified`, if it tells one version from the next: when the response was made a second later at least.
    /// - Source: RFC 9110 §8.8.2.2.
    var strongLastModified: Int64? {
        guard let lastModified, let date, date > lastModified else { return nil }
        return lastModified
    }

    /// When it was made, in Unix seconds. Read from the fields: conditions alone ask for it.
    var date: Int64? {
        let fields = fields
        guard let index = fields.firstIndex(of: .date) else { return nil }
        return HTTPDate.parse(fields.value(at: index))
    }

    /// The current age in seconds.
    /// - Source: RFC 9111 §4.2.3.
    func ageSeconds(now: NIODeadline) -> Int {
        let resident = (now - received).nanoseconds
        return initialAgeSeconds + Int(max(resident, 0) / 1_000_000_000)
    }

    /// Whether the response may not be served once it is stale, whatever else permits it.
    /// - Source: RFC 9111 §4.2.4, §5.2.2.2, §5.2.2.4, §5.2.2.8, §5.2.2.10.
    var forbidsStale: Bool { cacheControl.noCache || demandsValidation }

    /// Whether a client gets 504 when the application cannot be asked about it.
    /// - Source: RFC 9111 §5.2.2.2, §5.2.2.8.
    var demandsValidation: Bool { cacheControl.mustRevalidate || cacheControl.proxyRevalidate || cacheControl.sMaxAge != nil }

    /// Whether the response is of no use to the next request without asking the application first.
    ///
    /// Requests for such a response are never made to wait for each other: the answer that another one fetches may be
    /// older than this request.
    var alwaysRevalidates: Bool { lifetimeSeconds <= initialAgeSeconds && !isPurged || cacheControl.noCache }
}

/// A stored response in one coding: head and body, memory that goes out as it is.
final class Representation: Sendable {
    /// How much work went into the coding.
    enum Effort: Sendable {
        /// The body is the application's own.
        case asReceived
        /// Compressed while a client waited.
        case fast
        /// Compressed in the background.
        case high
    }

    let response: StoredResponse
    let coding: ContentCoding
    let effort: Effort
    /// Status line and header section, up to where the fields of the single answer follow (`Age`, `Cache-Status`,
    /// `Server-Timing`, `Connection`) and the empty line.
    let head: ByteBuffer
    let body: StoredBody
    /// The entity tag that this representation is sent with.
    let entityTag: EntityTag?
    /// Bytes by which the body is smaller than the plain one; 0 where that is not known.
    let savedBytes: Int

    init(
        response: StoredResponse, coding: ContentCoding, effort: Effort, head: ByteBuffer, body: StoredBody,
        entityTag: EntityTag?, plainBytes: Int = 0
    ) {
        savedBytes = max(0, plainBytes - body.byteCount)
        self.response = response
        self.coding = coding
        self.effort = effort
        self.head = head.exactCopy()
        self.body = body.exactCopy()
        self.entityTag = entityTag
    }

    /// The same with a body in one piece.
    convenience init(
        response: StoredResponse, coding: ContentCoding, effort: Effort, head: ByteBuffer, body: ByteBuffer,
        entityTag: EntityTag?
    ) {
        self.init(response: response, coding: coding, effort: effort, head: head, body: StoredBody(body), entityTag: entityTag)
    }

    /// The same bytes of a response of which something else has changed.
    init(_ other: Representation, of response: StoredResponse) {
        self.response = response
        coding = other.coding
        effort = other.effort
        head = other.head
        body = other.body
        entityTag = other.entityTag
        savedBytes = other.savedBytes
    }

    /// What it takes in memory, in bytes: this object, its pieces, and the tag if it is not the response's own.
    var memoryBytes: Int {
        AllocatedBytes.object(MemoryLayout<(StoredResponse, ContentCoding, Effort, ByteBuffer, StoredBody, EntityTag?, Int)>.size)
            + AllocatedBytes.buffer(head) + body.memoryBytes
            + (coding == .identity ? 0 : AllocatedBytes.array(entityTag?.opaque ?? []))
    }
}

/// What allocations really take.
///
/// glibc's malloc adds eight bytes and rounds up to sixteen, at least 32; from 128 KiB on it maps whole pages. The cache's
/// budget counts these, so that it holds for what the process takes and not for the sum of the bodies.
enum AllocatedBytes {
    static func of(_ bytes: Int) -> Int {
        if bytes >= 128 << 10 { return (bytes + 16 + 4095) & ~4095 }
        return max(32, (bytes + 8 + 15) & ~15)
    }

    /// An object whose properties have this size together: two words precede them.
    static func object(_ bytes: Int) -> Int { of(16 + bytes) }

    /// An array's elements, with the four words before them; an empty one that never grew takes nothing.
    static func array<Element>(_ array: [Element]) -> Int {
        array.capacity == 0 ? 0 : of(32 + array.capacity * MemoryLayout<Element>.stride)
    }

    /// A buffer's bytes, and the object that NIO keeps for them: their place, their count and four functions.
    static func buffer(_ buffer: ByteBuffer) -> Int {
        buffer.storageCapacity == 0 ? 0 : of(buffer.storageCapacity) + object(6 * MemoryLayout<Int>.size)
    }
}
