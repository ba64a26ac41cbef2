import Transport

/// What became of the PROXY header that a connection of ``EdgeConfiguration/proxies`` must begin with. The raw value is the metric label.
enum ProxyHeaderOutcome: String, CaseIterable, Sendable {
    /// It names the client.
    case client
    /// The proxy speaks for itself.
    case itself
    /// The proxy cannot say for whom it speaks.
    case unknown
    /// What came is no header: closed.
    case missing
    /// It begins as one and is none: closed.
    case syntax
    /// It is longer than is read: closed.
    case oversize
    /// The connection ended within it.
    case cut
    /// It did not come in time: closed.
    case deadline

    init(_ malformation: ProxyHeader.Malformation) {
        switch malformation {
        case .missing: self = .missing
        case .syntax: self = .syntax
        case .oversize: self = .oversize
        }
    }
}
