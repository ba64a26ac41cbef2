/// How much of a request is taken in. Values beyond are protocol errors, after which the connection is of no use.
/// - Source: Redis `networking.c`, `proto-max-bulk-len`.
public struct RESPLimits: Sendable, Equatable {
    /// An inline request, and the line of a count or a length.
    public var lineBytesMax = 64 << 10
    /// Arguments of one request.
    public var argumentCountMax = 1 << 20
    /// One argument.
    public var argumentBytesMax = 512 << 20
    /// All arguments of one request together, with their framing.
    public var requestBytesMax = 1 << 30

    public init() {}

    /// What a client may send that has not authenticated itself.
    public static var unauthenticated: RESPLimits {
        var limits = RESPLimits()
        limits.argumentCountMax = 10
        limits.argumentBytesMax = 16 << 10
        return limits
    }
}
