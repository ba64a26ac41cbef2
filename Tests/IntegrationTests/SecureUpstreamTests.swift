import Foundation
import TestSupport
import Testing

/// Applications behind TLS that speak HTTP/1.1.
@Suite(.enabled(if: Command.find("openssl") != nil && Command.find("python3") != nil, "openssl or python3 is not installed: run scripts/setup"))
final class SecureUpstreamTests {
    private let folder: TemporaryFolder
    private let origin = Program()
    private let port: Int

    /// An application whose responses end with the connection: `/cut` without TLS's word that this is the end, all others with it.
    init() throws {
        folder = try TemporaryFolder()
        let (key, certificate) = (folder.url.appending(path: "key.pem").path, folder.url.appending(path: "certificate.pem").path)
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        let program = """
            import socket, ssl
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain("\(certificate)", "\(key)")
            listener = socket.create_server(("127.0.0.1", 0))
            print(listener.getsockname()[1], flush=True)
            while True:
                try:
                    client = context.wrap_socket(listener.accept()[0], server_side=True)
                    head = b""
                    while b"\\r\\n\\r\\n" not in head:
                        head += client.recv(65536) or exit()
                    client.sendall(b"HTTP/1.1 200 OK\\r\\nCache-Control: no-store\\r\\nConnection: close\\r\\n\\r\\npart")
                    if b" /cut " in head:
                        client.close()
                    else:
                        client.unwrap().close()
                except (OSError, SystemExit):
                    pass
            """
        let pipe = Pipe()
        origin.executableURL = Command.find("python3")
        origin.arguments = ["-c", program]
        origin.standardOutput = pipe
        origin.standardError = FileHandle.nullDevice
        try origin.start()
        let text = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
        port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), "no port from the application: \(text)")
    }

    deinit {
        origin.terminate()
    }

    /// RFC 9112 §9.8: whoever cuts the connection must not decide where the response ends.
    @Test func `a response that ends with its connection is whole only when TLS says so`() throws {
        let text = """
            edge:
              upstreams:
                app:
                  members: ["https://127.0.0.1:\(port)"]
                  tls: {authorities: \(folder.url.appending(path: "certificate.pem").path)}

            """
        let file = try TemporaryFile(text)
        let edge = try HeadraceProcess(["--config", file.path])
        #expect(try RawClient.get(port: edge.port, "/whole").text == "part")
        let client = try RawClient(port: edge.port)
        client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        let cut = client.readToEnd(seconds: 20)
        #expect(client.isClosedByPeer && !cut.contains("\r\n0\r\n"), "\(cut)")
    }
}
