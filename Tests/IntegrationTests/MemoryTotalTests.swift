import Foundation
import TestSupport
import Testing

/// What peers may do to the memory of the process: it stays under `memory.total`, what is too much is given up in order, and afterwards all is as before.
///
/// Measured is the peak that the kernel counts (`VmHWM`), without the pages of files that are mapped. The counts here are a tenth of those in the long tier (`HEADRACE_LONG`).
@Suite(.serialized) struct MemoryTotalTests {
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    private static func peakBytes(_ edge: HeadraceProcess) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(edge.processIdentifier)/status", encoding: .utf8)
        func bytes(_ name: String) -> Int {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) << 10
        }
        return bytes("VmHWM") - bytes("RssFile") - bytes("RssShmem")
    }

    /// Bytes of a total in MB. Among other tests it may take the watch long to get its turn: then twice the total shows that there is a bound at all.
    private static func bound(_ total: Int) -> Int { (total << 20) * (isLong ? 1 : 2) }

    /// A connection of this process for each client is a descriptor of it.
    private static func raiseLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    private static func settings(total: Int, _ more: [String] = []) -> [String] {
        ([
            "memory.total=\(total)MB", "edge.cache.size=4MB", "edge.limits.buffered_responses=4MB", "edge.limits.connections=4000",
            "edge.limits.connections_per_client=4000", "edge.upstream.max_connections=4000", "edge.upstream.max_waiting=4000", "edge.threads=2",
            "edge.limits.transfer_rate=0B/s",
        ] + more).flatMap { ["--set", $0] }
    }

    /// nginx with a folder of large files.
    private static func origin(_ folder: TemporaryFolder) throws -> Nginx {
        let file = folder.url.appending(path: "large")
        try Data().write(to: file)
        #expect(truncate(file.path, 64 << 20) == 0)
        return try Nginx(
            server: """
                root \(folder.path);
                location = /bomb { add_header Content-Encoding gzip; }
                location = /sink { return 200 done; }
                """)
    }

    /// Whether the edge answers as if nothing had been.
    private static func recovers(_ edge: HeadraceProcess) -> Bool {
        eventually(seconds: 60) { (try? RawClient.get(port: edge.port, "/sink").status) == 200 }
    }

    @Test func `parts that do not fit into the total are refused by name, with their sum`() throws {
        func check(_ settings: [String]) throws -> Command.Result {
            try Command.run("env", [HeadraceProcess.binary.path, "check", "--app", "http://127.0.0.1:1"] + settings.flatMap { ["--set", $0] })
        }
        let large = try check(["memory.total=256MB"])
        let text = large.text + large.errors
        #expect(large.status != 0)
        for part in ["memory.total is 256MB", "edge.cache.size 256MB", "edge.limits.buffered_responses 64MB", "edge.limits.connections 10000 × 4KB"] {
            #expect(text.contains(part), "\(text)")
        }
        #expect(try check(["memory.total=1GB"]).status == 0)
        // 256 + 64 + 48 MB and 39 for connections: what fits into it, and is more than where connections are let in again.
        let full = try check(["memory.total=500MB"])
        #expect(full.status != 0 && (full.text + full.errors).contains("of which 76 % may be filled for long: 380MB"), "\(full.text)\(full.errors)")
        let unbounded = try check(["memory.total=1GB", "keyspace.listen=127.0.0.1:6390", "keyspace.maxmemory=0B"])
        #expect(unbounded.status != 0 && (unbounded.text + unbounded.errors).contains("keyspace.maxmemory has no bound"))
    }

    @Test(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup")) func `many slow readers of a large body`() throws {
        Self.raiseLimit()
        let total = 96
        let folder = try TemporaryFolder()
        let nginx = try Self.origin(folder)
        let edge = try HeadraceProcess(["--app", nginx.url] + Self.settings(total: total))
        var readers: [RawClient] = []
        for _ in 0..<(Self.isLong ? 3500 : 1000) {
            let reader = try RawClient(port: edge.port, receiveBuffer: 4096)
            reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            readers.append(reader)
        }
        // Until nobody gets more than it has.
        var last = -1
        #expect(try eventually(seconds: 60) {
            usleep(500_000)
            let now = try edge.residentBytes()
            defer { last = now }
            return abs(now - last) < 1 << 20
        })
        #expect(edge.isRunning)
        let peak = try Self.peakBytes(edge)
        #expect(peak < Self.bound(total), "\(peak >> 20) MiB")
        readers = []
        #expect(Self.recovers(edge))
    }

    @Test func `many half-open requests, all growing at a time`() throws {
        Self.raiseLimit()
        let total = 128
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url] + Self.settings(total: total, ["edge.limits.head=128KB"]))
        // They are let in before there is anything to refuse them for; what they then send is more than the total.
        var clients = try (0..<2500).map { _ in try RawClient(port: edge.port) }
        #expect(try eventually { try edge.metric("headrace_edge_connections") == 2501 }, "2,500 × 60 KB are more than there is")
        let part = Array(("GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + String(repeating: "x", count: 60_000)).utf8)
        for client in clients {
            _ = client.sendWithoutWaiting(part)
            // 60 MB/s, half a gigabit: at the pace of a loopback more can come than is measured in time.
            usleep(1000)
        }
        // Or all at once, between two measurements.
        #expect(
            eventually { edge.errorOutput.contains("given up=new requests") || edge.errorOutput.contains("given up=who holds most") }, "\(edge.errorOutput)")
        #expect(edge.isRunning)
        clients = []
        #expect(eventually(seconds: 60) { (try? RawClient.get(port: edge.port, "/").status) == 200 })
        let peak = try Self.peakBytes(edge)
        #expect(peak < Self.bound(total), "\(peak >> 20) MiB")
        #expect(try edge.metric("headrace_edge_memory_cut_total") >= 1)
        #expect(try edge.metric("headrace_memory_pressure_rises_total") >= 1)
        #expect(try edge.metric("headrace_memory_total_bytes") == Double(total << 20))
    }

    /// Reads one chunked request to its end, whatever its length, and answers it.
    private final class Sink: Sendable {
        let port: Int

        init() throws {
            let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listening, $0, length) == 0 && listen(listening, 1) == 0 && getsockname(listening, $0, &length) == 0
                }
            }
            guard isBound else { throw RawClient.Failure(description: "no sink") }
            port = Int(UInt16(bigEndian: address.sin_port))
            Thread.detachNewThread {
                let connection = accept(listening, nil, nil)
                close(listening)
                var buffer = [UInt8](repeating: 0, count: 1 << 20)
                var end: [UInt8] = []
                while end != Array("0\r\n\r\n".utf8) {
                    let count = read(connection, &buffer, buffer.count)
                    if count <= 0 { break }
                    end = Array((end + buffer[max(0, count - 5)..<count]).suffix(5))
                }
                let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".utf8)
                _ = write(connection, answer, answer.count)
                close(connection)
            }
        }
    }

    @Test func `a long upload is never held`() throws {
        let sink = try Sink()
        let edge = try HeadraceProcess(["--app", "http://127.0.0.1:\(sink.port)"] + Self.settings(total: 128, ["edge.limits.body=20GB"]))
        let size = Self.isLong ? "10G" : "1G"
        let upload = try Command.run(
            "bash", ["-c", "head -c \(size) /dev/zero | curl -sS --max-time 600 -T - http://127.0.0.1:\(edge.port)/sink"])
        #expect(upload.text == "done", "\(upload.errors)")
        let peak = try Self.peakBytes(edge)
        #expect(peak < 100 << 20, "\(peak >> 20) MiB")
        #expect(!edge.errorOutput.contains("given up"))
    }

    @Test(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup")) func `a bomb from upstream is passed on as it is`() throws {
        let folder = try TemporaryFolder()
        let nginx = try Self.origin(folder)
        let bomb = folder.url.appending(path: "bomb")
        let made = try Command.run("bash", ["-c", "head -c \(Self.isLong ? "1G" : "256M") /dev/zero | gzip -1 > '\(bomb.path)'"])
        try #require(made.status == 0)
        let edge = try HeadraceProcess(["--app", nginx.url] + Self.settings(total: 128))
        for coding in ["gzip", "br", "identity"] {
            let answer = try Command.run("curl", ["-sS", "--max-time", "60", "-H", "Accept-Encoding: \(coding)", "http://127.0.0.1:\(edge.port)/bomb"])
            #expect(try answer.output == Data(contentsOf: bomb), "\(coding)")
        }
        let peak = try Self.peakBytes(edge)
        #expect(peak < 100 << 20, "\(peak >> 20) MiB")
    }
}
