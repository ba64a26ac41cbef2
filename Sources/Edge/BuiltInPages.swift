/// Pages that another part of the process makes and the edge serves: the dashboard, and what is ready.
///
/// The edge asks on its event loop and goes on; whoever makes the page answers from any thread, once.
public struct BuiltInPages: Sendable {
    /// What a POST says. There is no body in it: what is asked for stands in a field, which no form and no foreign page can send along
    /// without asking first.
    public struct Post: Sendable {
        /// What `Headrace-Mark` says; empty when it is not there.
        public var mark: String
        /// A browser sends it for some page: `Origin` or `Sec-Fetch-Site` says so.
        /// - Source: Fetch §3.2 (`Origin`); Fetch Metadata §2.4.
        public var isFromPage: Bool
    }

    public struct Request: Sendable {
        public var page: RouteConfiguration.BuiltInPage
        /// `nil` for GET and HEAD.
        public var post: Post?
        /// Behind the path of the page itself; empty for the page.
        public var path: String
        /// Without the question mark.
        public var query: String
        /// From this machine, or with the operators' token.
        public var isOperator: Bool
        public var isDraining: Bool
        /// The client's address, as text.
        public var client: String
        /// What `Accept` says; empty when it is not there.
        public var accept: String
        /// Of ``RouteConfiguration/BuiltInPage/metrics``: the edge's own families, in Prometheus' text format. Empty for other pages.
        public var metrics: String
    }

    public enum Answer: Sendable {
        /// - Parameter fields: Whole header fields besides type, length and `Cache-Control: no-store`; names and values of the program's own.
        case whole(status: Int, contentType: String, fields: [(String, String)], body: [UInt8])
        /// Server-sent events, as they come, until the client leaves or the edge drains.
        case events(Events)
    }

    /// A stream of events. Each piece is whole: one that a slow client cannot take is left out.
    public struct Events: Sendable {
        /// - Parameter send: may be called on any thread.
        /// - Returns: for ``end``; `nil` when too many watch already.
        public var begin: @Sendable (_ send: @escaping @Sendable ([UInt8]) -> Void) -> UInt64?
        public var end: @Sendable (UInt64) -> Void

        public init(begin: @escaping @Sendable (@escaping @Sendable ([UInt8]) -> Void) -> UInt64?, end: @escaping @Sendable (UInt64) -> Void) {
            self.begin = begin
            self.end = end
        }
    }

    /// A signed request goes past layers that are not the edge's own: see ``EdgeLayers/keyspace``. Called on an event loop.
    public var switchLayers: @Sendable (EdgeLayers) -> Void = { _ in }
    public var answer: @Sendable (Request, _ reply: @escaping @Sendable (Answer) -> Void) -> Void

    public init(answer: @escaping @Sendable (Request, @escaping @Sendable (Answer) -> Void) -> Void) {
        self.answer = answer
    }
}
