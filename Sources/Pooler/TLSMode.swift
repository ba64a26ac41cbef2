import PostgresWire
public import Transport

/// TLS with clients, as PgBouncer's `client_tls_sslmode` has it. The raw value is the word in the configuration.
public enum ClientTLSMode: String, Sendable, CaseIterable {
    case disable
    /// Clients that ask for it get it.
    case allow
    /// Clients without it are not let in.
    case require
    /// And they have to show a certificate that we believe.
    case verify = "verify-ca"
}

/// TLS with servers: libpq's `sslmode`. The raw value is the word in the configuration.
public enum ServerTLSMode: String, Sendable, CaseIterable {
    case disable
    /// If the server has it.
    case prefer
    case require
    /// And its certificate is signed by an authority that we believe.
    case verifyCA = "verify-ca"
    /// And made out to the host that we connect to.
    case verifyFull = "verify-full"

    /// Whether a connection without TLS may do.
    public var allowsPlain: Bool { self == .disable || self == .prefer }

    var verification: TLSClientContext.Verification {
        switch self {
        case .disable, .prefer, .require: .none
        case .verifyCA: .authority
        case .verifyFull: .host
        }
    }
}

/// TLS on both sides of the pooler.
public struct PoolerTLSConfiguration: Sendable, Equatable {
    public var client = ClientTLSMode.disable
    public var clientFiles = TLSFiles()
    public var server = ServerTLSMode.prefer
    public var serverFiles = TLSFiles()

    public init() {}
}

/// The contexts that connections are encrypted with: made once, when the pooler is.
struct PoolerTLS: Sendable {
    /// The protocol's name in ALPN, which TLS without a request for it (PostgreSQL 17's `sslnegotiation=direct`) has to agree on.
    static let applicationProtocol = "postgresql"

    let clientMode: ClientTLSMode
    let clients: TLSServerContext?
    let serverMode: ServerTLSMode
    let servers: TLSClientContext?
    /// Of the certificate that clients see.
    let channelBinding: [UInt8]?
    /// What is known of that certificate.
    let certificate: TLSCertificates.Description?

    init(_ configuration: PoolerTLSConfiguration) throws {
        clientMode = configuration.client
        serverMode = configuration.server
        switch configuration.client {
        case .disable: clients = nil
        case .allow, .require, .verify:
            // With authorities a certificate may be shown, and then it has to be good.
            let certificates: TLSServerContext.ClientCertificates =
                configuration.client == .verify ? .required : configuration.clientFiles.authorities == nil ? .ignored : .optional
            clients = try TLSServerContext(
                configuration.clientFiles, clientCertificates: certificates, applicationProtocols: [Self.applicationProtocol])
        }
        certificate = clients == nil ? nil : try TLSCertificates([configuration.clientFiles]).descriptions.first
        channelBinding = clients.flatMap { TLSServerEndPoint.binding(certificate: $0.certificate) }
        servers =
            configuration.server == .disable
            ? nil
            : try TLSClientContext(
                configuration.serverFiles, verification: configuration.server.verification, applicationProtocols: [Self.applicationProtocol])
    }
}
