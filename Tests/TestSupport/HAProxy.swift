import Foundation
import NIOCore
import NIOPosix

/// A real HAProxy that passes connections on as they are, and ends with this.
public final class HAProxy {
    /// Of the loopback, and nobody else's in these tests: a port that was free a moment ago is free still.
    public static let host = "127.7.0.3"
    public let port: Int
    private let process = Program()
    private let folder = try? TemporaryFolder()

    /// - Parameters:
    ///   - server: where to, with its options: `127.0.0.1:8080 send-proxy-v2`.
    public init(server: String) throws {
        guard let program = Command.find("haproxy"), let folder else {
            throw HeadraceProcess.Failure(description: "haproxy is not installed: run scripts/setup")
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try ServerBootstrap(group: group).bind(host: Self.host, port: 0).wait()
        port = channel.localAddress?.port ?? 0
        try channel.close().wait()
        try group.syncShutdownGracefully()
        let configuration = """
            defaults
              mode tcp
              timeout connect 20s
              timeout client 20s
              timeout server 20s
            listen all
              bind \(Self.host):\(port)
              server one \(server)

            """
        let file = folder.url.appending(path: "haproxy.cfg")
        try Data(configuration.utf8).write(to: file)
        process.executableURL = program
        process.arguments = ["-db", "-f", file.path]
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.start()
        let isUp = eventually { (try? RawClient(host: Self.host, port: port)) != nil }
        guard isUp else { throw HeadraceProcess.Failure(description: "haproxy does not listen: \(configuration)") }
    }

    deinit {
        guard process.isRunning else { return }
        process.terminate()
        process.waitForEnd()
    }
}
