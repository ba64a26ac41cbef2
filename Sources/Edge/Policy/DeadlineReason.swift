/// What a client connection is waited for, and why it was ended when that did not come. The raw value is the metric label.
enum DeadlineReason: String, CaseIterable, Sendable {
    case none
    /// The rest of a request's head: 408.
    case requestHead = "request-head"
    /// More of a request's body: 408, or 504 when it is the application that takes no more.
    case requestBody = "request-body"
    /// A request's body came, but too slowly: 408.
    case requestRate = "request-rate"
    /// Another server's word on the request: 504.
    case authorization
    /// A page that another part of the process makes: 504.
    case page
    /// The next request.
    case keepAlive = "keep-alive"
    /// That the client takes more of its response.
    case write
    /// It took some, but too little.
    case responseRate = "response-rate"
    /// The end of what the client sends after it was told that nothing of it will be read.
    case linger
    /// A request that was perhaps on its way when draining began, or an exchange that has not ended when it does.
    case drain
}

/// Why a connection was closed as soon as it was made. The raw value is the metric label.
enum ConnectionRefusal: String, CaseIterable, Sendable {
    /// As many are open as may be.
    case connections
    /// The client has as many as it may.
    case clientConnections = "client-connections"
    /// The process has nearly all the memory that it may have.
    case memory
}
