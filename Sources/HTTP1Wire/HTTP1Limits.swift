/// How much of a head, a chunk line and a trailer section a peer may send. What is over is refused as soon as that is
/// certain, not when it is complete.
public struct HTTP1Limits: Sendable, Equatable {
    /// The longest request line or status line, in bytes without its CRLF. RFC 9112 §3 asks for 8,000 at least.
    public var requestLineBytesMax: Int
    /// The longest head, in bytes from the first of the start line to the last of the empty line.
    public var headBytesMax: Int
    /// The most field lines of a head, and of a trailer section.
    public var fieldCountMax: Int
    /// The longest extension of one chunk, in bytes from behind its size to its CRLF.
    public var chunkExtensionBytesMax: Int
    /// The longest trailer section, in bytes with its empty line.
    public var trailerBytesMax: Int

    public init(
        requestLineBytesMax: Int = 8192, headBytesMax: Int = 32768, fieldCountMax: Int = 100,
        chunkExtensionBytesMax: Int = 256, trailerBytesMax: Int = 8192
    ) {
        self.requestLineBytesMax = requestLineBytesMax
        self.headBytesMax = headBytesMax
        self.fieldCountMax = fieldCountMax
        self.chunkExtensionBytesMax = chunkExtensionBytesMax
        self.trailerBytesMax = trailerBytesMax
    }
}
