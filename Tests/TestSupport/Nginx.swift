import Foundation

/// A real nginx, in one process, that ends with this.
public final class Nginx {
    public let port: Int
    private let process = Program()
    private let folder: URL

    public var url: String { "http://127.0.0.1:\(port)" }

    /// One that answers everything with one word.
    public convenience init(_ word: String) throws {
        try self.init(server: "location / { add_header Cache-Control no-store; return 200 \"\(word)\"; }")
    }

    /// - Parameters:
    ///   - server: what stands in the `server` block, besides where it listens.
    ///   - http: what stands in the `http` block before it.
    ///   - listening: what stands behind the address in `listen`.
    public init(server: String, http: String = "", listening: String = "") throws {
        guard let program = Command.find("nginx") else {
            throw HeadraceProcess.Failure(description: "nginx is not installed: run scripts/setup")
        }
        // It cannot choose a port itself: one that was free a moment ago.
        port = try StalledOrigin().port
        folder = FileManager.default.temporaryDirectory.appending(path: "nginx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.path(percentEncoded: false)
        let configuration = """
            daemon off; master_process off; pid \(path)/pid; error_log \(path)/error.log;
            events { worker_connections 16000; }
            http {
              access_log off; client_body_temp_path \(path); proxy_temp_path \(path); fastcgi_temp_path \(path);
              uwsgi_temp_path \(path); scgi_temp_path \(path);
              \(http)
              server {
                listen 127.0.0.1:\(port) \(listening);
                \(server)
              }
            }
            """
        try Data(configuration.utf8).write(to: folder.appending(path: "nginx.conf"))
        process.executableURL = program
        process.arguments = ["-c", path + "/nginx.conf", "-p", path]
        process.standardError = FileHandle.nullDevice
        try process.start()
        let isUp = eventually { (try? RawClient(port: port)) != nil }
        guard isUp else { throw HeadraceProcess.Failure(description: "nginx does not listen: \(configuration)") }
    }

    public func stop() {
        guard process.isRunning else { return }
        process.terminate()
        process.waitForEnd()
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }
}
