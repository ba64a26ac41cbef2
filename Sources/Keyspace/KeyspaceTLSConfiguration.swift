import NIOCore
public import Transport

/// Where the keyspace speaks TLS, and with which certificates.
public struct KeyspaceTLSConfiguration: Sendable, Equatable {
    /// Nowhere, unless told.
    public var listen: [SocketEndpoint] = []
    /// Files in PEM: a certificate each, and those that vouch for it. The first is shown to a client that asks for no other's name.
    public var certificates: [String] = []
    /// Their private keys, in the same order; without any, each stands in its certificate's file.
    public var keys: [String] = []
    public var clientCertificates = TLSServerContext.ClientCertificates.ignored
    /// Whose certificates are believed of clients.
    public var clientAuthorities: String?
    /// So long a client may take for the handshake; then it is closed.
    var handshakeTimeout = TimeAmount.seconds(10)

    public init() {}

    var files: [TLSFiles] {
        certificates.enumerated().map { TLSFiles(certificate: $1, key: keys.isEmpty ? nil : keys[min($0, keys.count - 1)]) }
    }
}
