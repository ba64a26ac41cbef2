import Foundation
import TestSupport
import Testing

/// Grafana behind the edge, by the very lines of `docs/dashboard.md`.
@Suite struct GrafanaRouteTests {
    private static let page = HeadraceProcess.repository.appending(path: "docs/dashboard.md")

    /// The block of YAML that has the word.
    private func block(_ word: String) throws -> String {
        let text = try String(contentsOf: Self.page, encoding: .utf8)
        return try #require(text.matches(of: /```yaml\n([^`]*)```/).map { String($0.1) }.first { $0.contains(word) })
    }

    /// - Source: grafana.com, "Run Grafana behind a reverse proxy": with `serve_from_sub_path` it wants the whole path, and the Host that the
    ///   browser has, to which it holds the `Origin` of what changes anything; live panels come by WebSocket.
    @Test func `Grafana gets its paths whole, its client's Host and its sockets, and nothing of it is kept`() throws {
        let grafana = try ScriptedOrigin { request in
            if request.field("Upgrade") == "websocket" {
                return [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\(request.target)")]
            }
            let isAllowed = request.field("Origin").map { $0 == "http://\(request.field("Host") ?? "")" } ?? true
            let fields = ["Cache-Control: public, max-age=600", "Content-Type: text/plain"]
            return [
                .send(ScriptedOrigin.response(
                    status: isAllowed ? "200 OK" : "403 Forbidden", fields: fields, body: "\(request.number) \(request.method) \(request.target)"))
            ]
        }
        let shown = try block("grafana:")
        #expect(shown.contains("http://127.0.0.1:3001"))
        let file = try TemporaryFile(shown.replacing("http://127.0.0.1:3001", with: grafana.url), name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        for (number, target) in ["/grafana/d/headrace-overview?orgId=1", "/grafana/api/health", "/grafana/api/health"].enumerated() {
            let answer = try RawClient.get(port: edge.port, target)
            #expect(answer.status == 200 && answer.text == "\(number) GET \(target)", "\(answer.head)")
        }
        let host = "stats.example:8443"
        let login = "POST /grafana/login HTTP/1.1\r\nHost: \(host)\r\nOrigin: http://\(host)\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        #expect(try RawClient.exchange(port: edge.port, login).text == "3 POST /grafana/login")
        let client = try RawClient(port: edge.port)
        let live = "/grafana/api/live/ws"
        client.send("GET \(live) HTTP/1.1\r\nHost: \(host)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        let text = DashboardIntegrationTests.read(client) { $0.contains("\r\n\r\n" + live) }
        #expect(text.hasPrefix("HTTP/1.1 101 ") && text.hasSuffix(live), "\(text)")
        #expect(try RawClient.get(port: edge.port, "/grafanas").status == 404, "no other path is Grafana's")
    }
}
