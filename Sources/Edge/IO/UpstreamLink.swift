import HTTPSemantics
import NIOCore

/// What a ``Fetch`` sends its request through, and is answered by: a connection of HTTP/1.1, or a stream of one of HTTP/2.
protocol UpstreamLink: AnyObject {
    /// Which member of the group it leads to.
    var member: Int { get }
    /// Exchanges that the connection had begun before; the first one cannot fail because the connection had grown old.
    var exchangeCount: Int { get }
    /// The connection is closed behind this exchange.
    var isForOne: Bool { get set }
    var isOpen: Bool { get }
    /// Whether more of the request's body may come.
    var isWritable: Bool { get }

    /// Begins an exchange: writes a request's head.
    /// - Parameters:
    ///   - head: as HTTP/1.1 has it.
    ///   - isWhole: nothing follows it.
    func send(_ head: ByteBuffer, _ method: Method, offersUpgrade: Bool, isWhole: Bool, for fetch: Fetch)
    /// - Parameter isChunked: whether the length of the body is not known beforehand.
    func sendBody(_ part: ByteBuffer, isChunked: Bool)
    func flush()
    /// The request is out: the application's time begins.
    func requestEnded(trailers: FieldSection?, isChunked: Bool, now: NIODeadline)
    func resumeReading()
    /// Gives the exchange up.
    func abandon(_ outcome: UpstreamMachine.Outcome)
    /// Nothing is sent after all.
    func unused(now: NIODeadline)
}

extension UpstreamLink {
    func abandon() { abandon(.neutral) }
}
