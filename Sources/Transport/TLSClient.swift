public import NIOCore
import NIOSSL
import NIOTLS

/// The client's side of TLS: how connections to one server name are made secure.
public struct TLSClient: Sendable {
    private let context: NIOSSLContext
    private let serverName: String?

    /// - Parameters:
    ///   - host: what the certificate must be for, and what is asked for by SNI; an address is checked, but never sent (RFC 6066 §3).
    ///   - verifies: whether the certificate must be trusted by this system and be for the host; `false` is for tests of one's own
    ///     servers.
    ///   - protocols: for ALPN, the best first.
    /// - Throws: an error of NIOSSL when the system's certificates cannot be read.
    public init(host: String, verifies: Bool = true, protocols: [String] = ["http/1.1"]) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.applicationProtocols = protocols
        configuration.minimumTLSVersion = .tlsv12
        if !verifies { configuration.certificateVerification = .none }
        context = try NIOSSLContext(configuration: configuration)
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        serverName = isAddress ? nil : host
    }

    /// Puts TLS on a new connection, first in its pipeline; on its event loop. ``isHandshakeCompleted(_:)`` says when it is ready.
    public func add(to channel: any Channel) throws {
        let handler = try NIOSSLClientHandler(context: context, serverHostname: serverName)
        try channel.pipeline.syncOperations.addHandler(handler, position: .first)
    }

    /// When the certificate ends that the server has shown, in seconds since 1970; on the channel's event loop.
    /// - Returns: `nil` without TLS, and before the handshake.
    public static func certificateExpiry(of channel: any Channel) -> Int64? {
        let handler = try? channel.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self)
        return handler?.peerCertificate.map { Int64($0.notValidAfter) }
    }

    /// The protocol that was agreed on by ALPN, if the event says that bytes may be sent.
    public static func negotiatedProtocol(_ event: Any) -> String? { TLSPeer.negotiatedProtocol(event) }

    /// Whether a user event of the pipeline says that bytes may be sent.
    public static func isHandshakeCompleted(_ event: Any) -> Bool {
        guard let event = event as? TLSUserEvent, case .handshakeCompleted = event else { return false }
        return true
    }
}
