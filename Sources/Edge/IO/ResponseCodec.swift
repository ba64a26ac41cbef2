import HTTPSemantics
import NIOCore

/// Makes representations: the application's response in each coding, ready to write. One per event loop.
///
/// Work is spent where it pays. A response is compressed when a client first asks for a coding, at the fast level, on the
/// spot (large ones in the background, and the client gets what is ready); when the same coding is asked for again, it is
/// compressed once more at the high level, in the background, and served from then on. What is asked for once — a page behind
/// a random query — never costs more than the fast level.
final class ResponseCodec {
    let order: [ContentCoding]
    private let configuration: EdgeConfiguration.Compression
    private let store: ResponseStore
    private let background: BackgroundCompression
    private let metrics: EdgeMetrics
    private let compressor = OneShotCompressor()
    /// That it has compressed for; whoever wants to know for whom reads it before and behind.
    private(set) var nanoseconds: Int64 = 0

    init(
        _ configuration: EdgeConfiguration.Compression, store: ResponseStore, background: BackgroundCompression,
        metrics: EdgeMetrics
    ) {
        self.configuration = configuration
        self.store = store
        self.background = background
        self.metrics = metrics
        order = CompressionPolicy.serverOrder(configuration)
    }

    /// The representation for a client, made now if need be.
    func best(_ found: ResponseShard.Found, key: CacheKey, now: NIODeadline) -> Representation {
        if let coding = found.missingCoding { return make(coding, from: found.representation, key: key) }
        if found.deservesHighEffort { improve(found.representation, key: key) }
        return found.representation
    }

    /// Gives back what a lookup claimed, when its result is of no use after all.
    func release(_ found: ResponseShard.Found, key: CacheKey) {
        let representation = found.representation
        if let coding = found.missingCoding {
            store.withShard(key) { $0.abandonCoding(coding, of: representation.response, key: key, forGood: false) }
        } else if found.deservesHighEffort {
            store.withShard(key) {
                $0.abandonCoding(representation.coding, of: representation.response, key: key, forGood: false)
            }
        }
    }

    private func make(_ coding: ContentCoding, from ready: Representation, key: CacheKey) -> Representation {
        let response = ready.response
        guard let plain = plainBody(of: response, ready: ready, key: key) else { return ready }
        // Nobody else to do it: a large one holds the loop up once, or would never be compressed at all.
        guard !background.isOn || plain.pieces.isEmpty && plain.byteCount <= Fetch.heldBytesMax else {
            compressInBackground(plain, as: coding, of: response, key: key)
            return ready
        }
        guard let body = compressFast(plain.joined(), as: coding) else {
            // Does not get smaller: never try again.
            store.withShard(key) { $0.abandonCoding(coding, of: response, key: key, forGood: true) }
            return ready
        }
        let made = Self.representation(of: response, coding: coding, effort: .fast, body: StoredBody(body), plainBytes: plain.byteCount)
        _ = store.withShard(key) { $0.addCoding(made, key: key) }
        return made
    }

    private func improve(_ fast: Representation, key: CacheKey) {
        guard background.isOn else {
            store.withShard(key) { $0.abandonCoding(fast.coding, of: fast.response, key: key, forGood: true) }
            return
        }
        guard let plain = plainBody(of: fast.response, ready: fast, key: key) else { return }
        compressInBackground(plain, as: fast.coding, of: fast.response, key: key)
    }

    private func plainBody(of response: StoredResponse, ready: Representation, key: CacheKey) -> StoredBody? {
        if ready.coding == .identity { return ready.body }
        return store.withShard(key) { $0.plain(of: response, key: key) }?.body
    }

    private func compressInBackground(
        _ plain: StoredBody, as coding: ContentCoding, of response: StoredResponse, key: CacheKey
    ) {
        let store = self.store
        let plainBytes = plain.byteCount
        let isAccepted = background.submit(plain, coding: coding, level: CompressionPolicy.level(coding, .high, configuration)) { body in
            guard let body else {
                // It did not get smaller, and will not the next time.
                store.withShard(key) { $0.abandonCoding(coding, of: response, key: key, forGood: true) }
                return
            }
            let made = Self.representation(of: response, coding: coding, effort: .high, body: body, plainBytes: plainBytes)
            _ = store.withShard(key) { $0.addCoding(made, key: key) }
        }
        if !isAccepted { store.withShard(key) { $0.abandonCoding(coding, of: response, key: key, forGood: false) } }
    }

    // MARK: Pieces

    /// The body in a coding at the fast level; `nil` when it does not get smaller.
    func compressFast(_ body: ByteBuffer, as coding: ContentCoding) -> ByteBuffer? {
        let started = NIODeadline.now()
        let compressed = compressor.compress(body, as: coding, level: CompressionPolicy.level(coding, .fast, configuration))
        let spent = (NIODeadline.now() - started).nanoseconds
        nanoseconds += spent
        if let compressed { metrics.compressed(from: body.readableBytes, to: compressed.readableBytes, nanoseconds: spent) }
        return compressed
    }

    /// A page of the edge's own; not counted with what the application's visitors are spared.
    func compressOwn(_ body: ByteBuffer, as coding: ContentCoding) -> ByteBuffer? {
        compressor.compress(body, as: coding, level: CompressionPolicy.level(coding, .fast, configuration))
    }

    func stream(_ coding: ContentCoding) -> StreamingCompressor? {
        StreamingCompressor(coding: coding, level: CompressionPolicy.level(coding, .fast, configuration))
    }

    /// The application's entity tag as this coding carries it; `nil` when the application sent none, or it stays as it is.
    func entityTag(of fields: FieldSection, coding: ContentCoding, effort: Representation.Effort) -> EntityTag? {
        guard coding != .identity, let index = fields.firstIndex(of: .etag), let tag = EntityTag(fields.value(at: index)) else {
            return nil
        }
        return EntityTagVariants.variant(of: tag, coding: coding, effort: effort)
    }

    /// A response ready to write, from the body in a coding.
    static func representation(
        of response: StoredResponse, coding: ContentCoding, effort: Representation.Effort, body: StoredBody, plainBytes: Int = 0
    ) -> Representation {
        let hasBody = response.status != 204 && response.status != 304
        var writer = ResponseHeadWriter(framing: hasBody ? .length(body.byteCount) : .noBody)
        writer.coding = coding
        writer.variesByCoding = !response.codings.isEmpty
        writer.dropsAge = true
        writer.browserCaching = response.browserCaching
        if coding != .identity, let tag = response.entityTag {
            writer.entityTag = EntityTagVariants.variant(of: tag, coding: coding, effort: effort)
        }
        var head = ByteBuffer()
        // The stored fields have a Date: ``StoredFields`` sees to it.
        writer.write(status: response.status, response.fields, date: [], into: &head)
        return Representation(
            response: response, coding: coding, effort: effort, head: head, body: body,
            entityTag: writer.entityTag ?? response.entityTag, plainBytes: coding == .identity ? 0 : plainBytes)
    }
}
