import HTTPSemantics
import NIOCore

/// The client's side of one connection, in whichever protocol: says what is sent before the first request, when the answer to a request
/// is complete, and whether it is the one that was expected. No I/O, no clock.
///
/// | call | when |
/// |---|---|
/// | ``opening()`` | once, when bytes may be sent; with a `nil` requests may be sent at once |
/// | ``requestSent(_:)`` | a request was written; none is under way |
/// | ``bytesReceived(_:)``, ``inputClosed()``, ``connectionReset()`` | as it happens |
///
/// Objects: a value behind an existential is copied each time that it is asked for something.
protocol Conversation: AnyObject {
    func opening() -> ByteBuffer?
    func requestSent(_ request: Workload.Request)
    func bytesReceived(_ bytes: ByteBuffer) -> ConversationProgress
    func inputClosed() -> ConversationProgress
    func connectionReset() -> ConversationProgress

    /// Bytes of the current answer: of HTTP, its body as it is transferred but for chunk lines.
    var bodyByteCount: Int { get }
    /// What the server last said against us, in its words; `nil` when it did not.
    var refusal: String? { get }
    /// The last final response's, of HTTP.
    var responseHead: ResponseHead? { get }
}

extension Conversation {
    var responseHead: ResponseHead? { nil }
}

enum ConversationProgress: Equatable {
    /// The answer is not complete yet.
    case wait
    /// These bytes are to be sent now: the login's or the request's next part.
    case send(ByteBuffer)
    /// Requests may be sent.
    case opened
    /// The request, or the opening, has come to its end; without a failure, as expected. `isReusable`: another may be sent.
    case ended(failure: FailureKind?, isReusable: Bool)
}
