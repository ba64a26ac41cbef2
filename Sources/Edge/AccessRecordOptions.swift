/// What a line of the access log looks like, and which exchanges have one.
public struct AccessRecordOptions: Sendable, Equatable {
    public enum Format: String, Sendable, CaseIterable {
        /// One JSON object per line, of ``AccessRecordOptions/fields``.
        case json
        /// Apache's combined format, which most log readers know.
        case combined
    }

    /// What a JSON line can say. The raw value is its key.
    public enum Field: String, Sendable, CaseIterable {
        case time, client, method, host, target, status, bytes, ms, cache, detail, coding
        /// Milliseconds from asking the application to its response's head.
        case upstreamMilliseconds = "upstream_ms"
        case trace, error
        /// Milliseconds until our own head was written.
        case headMilliseconds = "head_ms"
        case referer
        case userAgent = "user_agent"
        /// Our own span in the trace.
        case span
        /// The name of the route, or where it stands in the file.
        case route
        /// Who has logged in, by `basic_auth`.
        case user
        // Where the time went: see ``StageTimes``.
        case lookupMilliseconds = "lookup_ms"
        case queueMilliseconds = "queue_ms"
        case connectMilliseconds = "connect_ms"
        case firstByteMilliseconds = "first_byte_ms"
        case compressMilliseconds = "compress_ms"
        case writeMilliseconds = "write_ms"

        var stage: StageTimes.Stage? {
            switch self {
            case .lookupMilliseconds: .lookup
            case .queueMilliseconds: .queue
            case .connectMilliseconds: .connect
            case .firstByteMilliseconds: .firstByte
            case .compressMilliseconds: .compress
            case .writeMilliseconds: .write
            default: nil
            }
        }
    }

    public var format = Format.json
    /// `time` is there always, and first.
    public var fields: [Field] = [.time, .client, .user, .method, .host, .target, .route, .status, .bytes, .ms, .cache, .detail, .coding, .upstreamMilliseconds, .trace, .error]
    /// The share of exchanges that have a line, 0…1, chosen by trace: all hops that sample by it choose the same. Errors (5xx, and what
    /// failed) always have one.
    public var sampledShare = 1.0

    public init() {}
}
