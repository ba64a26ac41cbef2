import Edge
import NIOCore

/// What can be said of HTTPS.
enum EdgeTLSKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "edge.tls.listen", \.edge.tls.listen, .list("addresses", of: .listenAddress, isEmptyAllowed: true),
            "Where clients connect with TLS, such as 0.0.0.0:443. TLS 1.2 and 1.3."),
        .init(
            "edge.tls.certificates", \.edge.tls.certificates, .list("files", of: .text("file"), isEmptyAllowed: true), isReloadable: true,
            "Certificates in PEM, each with those that vouch for it. The one that the client asks for by name is shown, or else the first. "
                + "A file that changes is read anew."),
        .init(
            "edge.tls.keys", \.edge.tls.keys, .list("files", of: .text("file"), isEmptyAllowed: true), isReloadable: true,
            "Their private keys in PEM, in the same order. Without any, each stands in its certificate's file."),
        .init(
            "edge.tls.client_certificates", \.edge.tls.clientCertificates, .word("mode"),
            "Whether clients show a certificate."),
        .init(
            "edge.tls.client_authorities", \.edge.tls.clientAuthorities, .optional(.text("file")),
            "Whose certificates are believed of clients, in PEM."),
        .init(
            "edge.tls.hsts", \.edge.tls.strictTransportSecurity, .optional(.duration(.seconds(0)...(.hours(24 * 730))), off: "off"),
            isReloadable: true,
            "How long browsers come by HTTPS only (Strict-Transport-Security). Hard to undo: they keep to it for that long. 4380h is half a year."),
        .init(
            "edge.tls.redirect", \.edge.tls.redirect, .word("mode"),
            "Who is sent to HTTPS, of those that come without: clients of addresses that others reach, all, or nobody."),
    ]
}
