public import NIOCore
public import Transport

/// HTTPS: where it is spoken, and with which certificates.
public struct EdgeTLSConfiguration: Sendable, Equatable {
    /// What a client gets that comes without TLS, where HTTPS is spoken too.
    public enum Redirect: String, Sendable, CaseIterable {
        /// Sent to HTTPS on addresses that others reach, served on loopback.
        case `public`
        case always
        case never
    }

    /// Where the edge speaks TLS; nowhere, unless told.
    public var listen: [SocketEndpoint] = []
    /// Files in PEM: a certificate each, and those that vouch for it. The first is shown to a client that asks for no other's name.
    public var certificates: [String] = []
    /// Their private keys, in the same order; without any, each stands in its certificate's file.
    public var keys: [String] = []
    public var clientCertificates = TLSServerContext.ClientCertificates.ignored
    /// Whose certificates are believed of clients.
    public var clientAuthorities: String?
    /// How long browsers may come by HTTPS only; `nil` says nothing of it.
    /// - Source: RFC 6797 §6.1.
    public var strictTransportSecurity: TimeAmount?
    public var redirect = Redirect.public

    public init() {}

    /// More are refused.
    public static let certificatesMax = 1000

    var files: [TLSFiles] {
        certificates.enumerated().map { TLSFiles(certificate: $1, key: keys.isEmpty ? nil : keys[min($0, keys.count - 1)]) }
    }

    /// `Strict-Transport-Security`, in the place of the application's own.
    var strictTransportSecurityRules: HeaderRuleSet? {
        guard let strictTransportSecurity else { return nil }
        var rules = HeaderRules()
        let seconds = strictTransportSecurity.nanoseconds / 1_000_000_000
        rules.set = [.init(name: "Strict-Transport-Security", value: "max-age=\(seconds)")]
        return HeaderRuleSet(rules)
    }

    /// Whether clients of an address without TLS are sent to HTTPS.
    func redirects(_ endpoint: SocketEndpoint) -> Bool {
        guard !listen.isEmpty, case .tcp(let host, _) = endpoint else { return false }
        return switch redirect {
        case .always: true
        case .never: false
        case .public: host != "localhost" && IPAddress(host)?.isLoopback != true
        }
    }

    /// How clients of an address without TLS come in, where that with TLS has this port.
    func arrival(at endpoint: SocketEndpoint, securePort: Int?) -> Arrival {
        guard let securePort, redirects(endpoint) else { return .plain }
        return .redirected(port: securePort, sparesLocal: redirect != .always)
    }
}
