public import NIOCore
public import NIOSSL
import NIOTLS

/// Files in PEM that say who we are, and whom we believe.
public struct TLSFiles: Sendable, Equatable, Hashable {
    /// Our certificate, then those that vouch for it.
    public var certificate: String?
    /// Its private key.
    public var key: String?
    /// Authorities whose certificates we believe; `nil`: the system's.
    public var authorities: String?

    public init(certificate: String? = nil, key: String? = nil, authorities: String? = nil) {
        self.certificate = certificate
        self.key = key
        self.authorities = authorities
    }

    fileprivate func apply(to configuration: inout TLSConfiguration) throws {
        if let certificate {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(ConfiguredFile.read(certificate)).map { .certificate($0) }
        }
        if let key { configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: ConfiguredFile.read(key), format: .pem)) }
        if let authorities { configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(ConfiguredFile.read(authorities))) }
        // RFC 8996: what is older is not to be negotiated.
        configuration.minimumTLSVersion = .tlsv12
    }
}

/// The server's side of TLS: made once, of files, for all connections.
public struct TLSServerContext: Sendable {
    /// Whether clients have to show a certificate.
    public enum ClientCertificates: String, Sendable, CaseIterable {
        case ignored
        /// One that is shown must be good.
        case optional
        case required
    }

    /// Our certificate, in DER; of several the first.
    public let certificate: [UInt8]
    private let context: NIOSSLContext

    /// - Throws: when a file cannot be read or does not hold what it should.
    public init(_ files: TLSFiles, clientCertificates: ClientCertificates, applicationProtocols: [String]) throws {
        guard let certificateFile = files.certificate, let keyFile = files.key else { throw TLSFilesIncomplete() }
        let chain = try NIOSSLCertificate.fromPEMBytes(ConfiguredFile.read(certificateFile))
        let configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(try NIOSSLPrivateKey(bytes: ConfiguredFile.read(keyFile), format: .pem)))
        try self.init(configuration, files, clientCertificates: clientCertificates, applicationProtocols: applicationProtocols)
    }

    init(
        _ configuration: TLSConfiguration, _ files: TLSFiles, clientCertificates: ClientCertificates, applicationProtocols: [String]
    ) throws {
        var configuration = configuration
        guard case .certificate(let own)? = configuration.certificateChain.first else { throw TLSFilesIncomplete() }
        try files.apply(to: &configuration)
        switch clientCertificates {
        case .ignored: configuration.certificateVerification = .none
        case .optional: configuration.certificateVerification = .optionalVerification
        case .required: configuration.certificateVerification = .noHostnameVerification
        }
        configuration.applicationProtocols = applicationProtocols
        // A peer that neither answers a good-bye nor closes; what it held is held until then.
        configuration.shutdownTimeout = .seconds(1)
        certificate = try own.toDERBytes()
        context = try NIOSSLContext(configuration: configuration)
    }

    /// Puts TLS behind what is in the pipeline of a connection. Call on its event loop.
    public func add(to channel: any Channel) throws { try add(to: channel, .last) }

    private func add(to channel: any Channel, _ position: ChannelPipeline.SynchronousOperations.Position) throws {
        try channel.pipeline.syncOperations.addHandlers([NIOSSLServerHandler(context: context), TLSClosing()], position: position)
    }

    /// Puts TLS before what is there, with buffers whose memory can be given back, for who keeps many connections that are idle.
    public func addFirstWithBuffers(to channel: any Channel) throws -> TLSBuffers {
        try TLSBuffers.adding(to: channel) { try add(to: channel, .first) }
    }
}

/// The client's side of TLS.
public struct TLSClientContext: Sendable {
    /// What a server's certificate has to be.
    public enum Verification: Sendable {
        /// Anything: keeps listeners out, but nobody who gets in between.
        case none
        /// Signed by an authority that we believe.
        case authority
        /// And made out to the host that we connect to.
        case host
    }

    private let context: NIOSSLContext

    /// - Throws: when a file cannot be read or does not hold what it should.
    public init(_ files: TLSFiles, verification: Verification, applicationProtocols: [String]) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        try files.apply(to: &configuration)
        switch verification {
        case .none: configuration.certificateVerification = .none
        case .authority: configuration.certificateVerification = .noHostnameVerification
        case .host: configuration.certificateVerification = .fullVerification
        }
        configuration.applicationProtocols = applicationProtocols
        context = try NIOSSLContext(configuration: configuration)
    }

    /// Goes first in the pipeline of a connection.
    /// - Parameter host: the name that the certificate has to have; `nil` for an address, which is taken from the connection.
    public func handler(host: String?) throws -> NIOSSLClientHandler {
        try NIOSSLClientHandler(context: context, serverHostname: host)
    }
}

/// A server's side without a certificate or its key.
public struct TLSFilesIncomplete: Error, CustomStringConvertible {
    public var description: String { "TLS needs a certificate and its private key" }
}

/// What a connection's TLS says of the other side.
public enum TLSPeer {
    /// Whether an event of a channel says that TLS is agreed on.
    public static func isHandshakeEnd(_ event: Any) -> Bool {
        if case .handshakeCompleted? = event as? TLSUserEvent { true } else { false }
    }

    /// The protocol that was agreed on by ALPN, if the event says that TLS is agreed on.
    public static func negotiatedProtocol(_ event: Any) -> String? {
        if case .handshakeCompleted(let name)? = event as? TLSUserEvent { name } else { nil }
    }

    /// Closes a server's connection below its TLS, if it has any, without the word that ends it in good order: what is not sent yet is given up. Call on the channel's
    /// event loop.
    public static func close(_ context: ChannelHandlerContext) {
        if let below = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self) { below.close(promise: nil) } else { context.close(promise: nil) }
    }

    /// Closes a server's connection below its TLS, without the word that ends it in good order. Call on the channel's event loop.
    public static func cut(_ pipeline: ChannelPipeline) {
        try? pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self).close(promise: nil)
    }

    /// Its certificate in DER; `nil` without one, or without TLS. Call on the channel's event loop, after the handshake.
    public static func certificate(of pipeline: ChannelPipeline) -> [UInt8]? {
        guard let certificate = try? pipeline.syncOperations.nioSSL_peerCertificate() else { return nil }
        return try? certificate.toDERBytes()
    }

    /// Such as `TLSv1.3`.
    public static func version(of pipeline: ChannelPipeline) -> String? {
        switch try? pipeline.syncOperations.nioSSL_tlsVersion() {
        case .tlsv1?: "TLSv1"
        case .tlsv11?: "TLSv1.1"
        case .tlsv12?: "TLSv1.2"
        case .tlsv13?: "TLSv1.3"
        case nil: nil
        }
    }
}
