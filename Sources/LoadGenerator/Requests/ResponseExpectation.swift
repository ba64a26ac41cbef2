/// What a response must be to count as a success. That it is complete is always expected.
public struct ResponseExpectation: Sendable, Equatable {
    public enum Status: Sendable, Equatable {
        /// 200 to 399: an answer, or the way to one.
        case successOrRedirection
        case exactly(Int)
    }

    /// The body is compared as it is transferred: behind `Transfer-Encoding`, before `Content-Encoding` is undone.
    public enum Body: Sendable, Equatable {
        case any
        /// So many bytes.
        case length(Int)
        /// These bytes. A comparison costs less than a hash, and cannot be fooled.
        case bytes([UInt8])
        /// Bytes with this SHA-256: of a body that is not at hand.
        case sha256([UInt8])
        /// This somewhere in them.
        case text([UInt8])
    }

    public var status: Status
    public var body: Body

    public init(status: Status = .successOrRedirection, body: Body = .any) {
        self.status = status
        self.body = body
    }

    func accepts(status code: Int) -> Bool {
        switch status {
        case .successOrRedirection: (200..<400).contains(code)
        case .exactly(let expected): code == expected
        }
    }
}
