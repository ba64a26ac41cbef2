import Foundation
import TestSupport
import Testing

private typealias F = HTTP2Frames

extension MemoryTotalTests {
    /// Slow readers, half-open requests, long uploads, bombs.
    @Suite struct Edge {
        private static let isLong = MemoryStand.isLong
        private static let hasNginx = Command.find("nginx") != nil
        private static let hasOpenSSL = Command.find("openssl") != nil

        /// All that may be there at a time, so that it is the memory that is short.
        private static func settings(connections: Int) -> [String] {
            [
                "edge.limits.connections=\(connections)", "edge.limits.connections_per_client=\(connections)", "edge.upstream.max_connections=\(connections)",
                "edge.upstream.max_waiting=\(connections)", "edge.limits.transfer_rate=0B/s",
            ]
        }

        /// A folder with a large file, of which no disk has anything.
        private static func large(_ folder: TemporaryFolder) throws {
            let file = folder.url.appending(path: "large")
            try Data().write(to: file)
            #expect(truncate(file.path, 64 << 20) == 0)
        }

        /// nginx with such a folder.
        private static func origin(_ folder: TemporaryFolder) throws -> Nginx {
            try large(folder)
            return try Nginx(
                server: """
                    root \(folder.path);
                    location = /bomb { default_type text/html; add_header Content-Encoding gzip; }
                    location = /stored-bomb { alias \(folder.path)/bomb; add_header Content-Encoding gzip; add_header Cache-Control max-age=600; }
                    location = /sink { return 200 done; }
                    """)
        }

        /// Settings for TLS, with a certificate in that folder.
        private static func tls(_ folder: TemporaryFolder) throws -> [String] {
            let made = try Command.run("openssl", [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-keyout", "\(folder.path)/key.pem", "-out",
                "\(folder.path)/certificate.pem",
            ])
            try #require(made.status == 0, "\(made.errors)")
            return ["edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(folder.path)/certificate.pem", "edge.tls.keys=\(folder.path)/key.pem"]
        }

        private static func securePort(_ stand: MemoryStand) throws -> Int {
            try stand.port(of: "edge", saying: "https://127.0.0.1:")
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

        // MARK: Slow readers

        @Test(.enabled(if: hasNginx, "nginx is not installed: run scripts/setup")) func `many slow readers of a large body`() throws {
            let count = Self.isLong ? 10_000 : 1000
            let folder = try TemporaryFolder()
            let nginx = try Self.origin(folder)
            let stand = try MemoryStand(total: Self.isLong ? 512 : 96, ["--app", nginx.url], Self.settings(connections: count + 500))
            // They are let in before there is anything to refuse them for.
            var readers = try (0..<count).map { try RawClient(port: stand.headrace.port, from: MemoryStand.address($0), receiveBuffer: 4096) }
            for reader in readers { reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n") }
            #expect(stand.settles())
            #expect(stand.answers())
            stand.expectBounded("\(count) slow readers by HTTP/1.1")
            readers = []
            #expect(stand.recovers("/sink"))
        }

        @Test(.enabled(if: hasNginx && hasOpenSSL, "nginx or openssl is not installed: run scripts/setup")) func `many slow readers with TLS`() throws {
            let count = Self.isLong ? 10_000 : 200
            let folder = try TemporaryFolder()
            let nginx = try Self.origin(folder)
            let stand = try MemoryStand(
                total: Self.isLong ? 768 : 80, ["--app", nginx.url], try Self.settings(connections: count + 500) + Self.tls(folder))
            let readers = try TLSCrowd(count, port: try Self.securePort(stand), endsHandshakes: true)
            #expect(readers.ended == count)
            readers.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(stand.settles())
            #expect(stand.answers())
            stand.expectBounded("\(count) slow readers with TLS")
            readers.leave()
            #expect(stand.recovers("/sink"))
        }

        /// Of files: no other process has to bear as many.
        @Test func `many streams of HTTP/2 that are read slowly`() throws {
            let count = Self.isLong ? 1000 : 40
            let folder = try TemporaryFolder()
            try Self.large(folder)
            try Data("small".utf8).write(to: folder.url.appending(path: "small"))
            let stand = try MemoryStand(total: Self.isLong ? 512 : 96, ["--root", folder.path], Self.settings(connections: 2000))
            let window = F.settings([(4, 1 << 30)]) + F.window(0, 1 << 30)
            let requests = F.preface + window + F.streams(100) { F.headers($0, F.request("/large")) }
            var readers = try (0..<count).map { try RawClient(port: stand.headrace.port, from: MemoryStand.address($0), receiveBuffer: 4096) }
            for reader in readers { reader.send(requests) }
            #expect(stand.settles())
            #expect(stand.answers())
            stand.expectBounded("\(count) × 100 streams that are read slowly")
            #expect(try eventually { try stand.metric("headrace_memory_pressure_rises_total") >= 1 })
            readers = []
            #expect(stand.recovers("/small"))
        }

        // MARK: Half-open requests

        @Test func `many half-open requests, all growing at a time`() throws {
            let count = Self.isLong ? 10_000 : 2500
            let total = Self.isLong ? 384 : 128
            let origin = try ScriptedOrigin(body: "x")
            let stand = try MemoryStand(total: total, ["--app", origin.url], Self.settings(connections: count + 500) + ["edge.limits.head=128KB"])
            // They are let in before there is anything to refuse them for; what they then send is more than the total.
            var clients = try (0..<count).map { try RawClient(port: stand.headrace.port, from: MemoryStand.address($0)) }
            #expect(try eventually { try stand.metric("headrace_edge_connections") == Double(count + 1) }, "each × 60 KB are more than there is")
            let part = Array(("GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + String(repeating: "x", count: 60_000)).utf8)
            for client in clients {
                _ = client.sendWithoutWaiting(part)
                // Some 100 MB/s, a gigabit: at the pace of a loopback more can come than is measured in time.
                usleep(500)
            }
            // Or all at once, between two measurements.
            let errors = { stand.headrace.errorOutput }
            #expect(eventually { errors().contains("given up=new requests") || errors().contains("given up=who holds most") }, "\(errors())")
            #expect(stand.answers())
            stand.expectBounded("\(count) half-open requests that grow to 60 KB")
            clients = []
            #expect(stand.recovers("/"))
            #expect(try stand.metric("headrace_edge_memory_cut_total") >= 1)
            #expect(try stand.metric("headrace_memory_pressure_rises_total") >= 1)
            #expect(try stand.metric("headrace_memory_total_bytes") == Double(total << 20))
        }

        @Test(.enabled(if: hasOpenSSL, "openssl is not installed: run scripts/setup"))
        func `heads that come byte by byte, handshakes that do not end, prefaces and nothing more`() throws {
            // Of each kind.
            let count = Self.isLong ? 2500 : 100
            let folder = try TemporaryFolder()
            let origin = try ScriptedOrigin(body: "x")
            let stand = try MemoryStand(
                total: Self.isLong ? 384 : 96, ["--app", origin.url],
                try Self.settings(connections: 6 * count) + Self.tls(folder) + ["edge.deadlines.request_head=\(Self.isLong ? "60s" : "1s")"])
            let (port, secure) = (stand.headrace.port, try Self.securePort(stand))
            func client(_ number: Int, _ bytes: [UInt8], port: Int) throws -> RawClient? {
                guard let client = try? RawClient(port: port, from: MemoryStand.address(number)) else { return nil }
                client.send(bytes)
                return client
            }
            let head = Array("GET / HTTP/1.1\r\n".utf8)
            // A record that holds the beginning of a ClientHello of 508 bytes.
            let hello: [UInt8] = [22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]
            var clients: [RawClient?] = []
            for number in 0..<count {
                clients.append(try client(number, [head[0]], port: port))
                clients.append(try client(number, hello, port: secure))
                clients.append(try client(number, F.preface, port: port))
                clients.append(try client(number, F.preface + F.settings() + F.headers(1, F.request("/"), endsHeaders: false), port: port))
            }
            for byte in head.dropFirst() { for index in stride(from: 0, to: clients.count, by: 4) { clients[index]?.sendWithoutWaiting([byte]) } }
            let silent = try TLSCrowd(count, port: secure, endsHandshakes: false)
            #expect(stand.answers())
            stand.expectBounded("\(5 * count) half-open requests and handshakes")
            silent.leave()
            if Self.isLong { clients = [] }
            // In the short tier by their deadline, or cut before.
            #expect(try eventually(seconds: 60) { try stand.metric("headrace_edge_connections") == 1 })
            #expect(stand.recovers("/"))
        }

        // MARK: Uploads

        /// Reads chunked requests to their ends, whatever their length, and answers them. A connection on which nothing comes is left alone.
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
                        bind(listening, $0, length) == 0 && listen(listening, 16) == 0 && getsockname(listening, $0, &length) == 0
                    }
                }
                guard isBound else { throw RawClient.Failure(description: "no sink") }
                port = Int(UInt16(bigEndian: address.sin_port))
                Thread.detachNewThread {
                    while case let connection = accept(listening, nil, nil), connection >= 0 { Thread.detachNewThread { Self.serve(connection) } }
                }
            }

            private static func serve(_ connection: Int32) {
                var buffer = [UInt8](repeating: 0, count: 1 << 20)
                // The head's end may look like the body's: `traceparent` ends in a zero.
                var head: [UInt8] = []
                let headEnd = Array("\r\n\r\n".utf8)
                while !head.suffix(4).elementsEqual(headEnd) {
                    guard read(connection, &buffer, 1) == 1 else { break }
                    head.append(buffer[0])
                }
                var end: [UInt8] = []
                while end != Array("0\r\n\r\n".utf8) {
                    let count = read(connection, &buffer, buffer.count)
                    if count <= 0 { break }
                    end = Array((end + buffer[max(0, count - 5)..<count]).suffix(5))
                }
                let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".utf8)
                _ = send(connection, answer, answer.count, Int32(MSG_NOSIGNAL))
                close(connection)
            }
        }

        @Test func `a long upload is never held`() throws {
            let sink = try Sink()
            let stand = try MemoryStand(total: 128, ["--app", "http://127.0.0.1:\(sink.port)"], Self.settings(connections: 4000) + ["edge.limits.body=20GB"])
            let size = Self.isLong ? "10G" : "1G"
            let upload = try Command.run(
                "bash", ["-c", "head -c \(size) /dev/zero | curl -sS --max-time 600 -T - http://127.0.0.1:\(stand.headrace.port)/sink"])
            #expect(upload.text == "done", "\(upload.errors)")
            #expect(stand.answers())
            stand.expectBounded("an upload of \(size)B")
            #expect(!stand.headrace.errorOutput.contains("given up"))
        }

        // MARK: Bombs

        /// Writes the bytes of a gzip file that unpacks to many gigabytes: a file of gzip may be several, one behind the other (RFC 1952 §2.2).
        private static func makeBomb(_ path: String) throws {
            let made = try Command.run(
                "bash", ["-c", "head -c 64M /dev/zero | gzip -9 > '\(path).part' && for part in {1..\(isLong ? 160 : 16)}; do cat '\(path).part'; done > '\(path)'"])
            try #require(made.status == 0)
        }

        @Test(.enabled(if: hasNginx, "nginx is not installed: run scripts/setup")) func `a bomb from upstream is passed on as it is, stored or not`() throws {
            let folder = try TemporaryFolder()
            let nginx = try Self.origin(folder)
            let bomb = folder.url.appending(path: "bomb")
            try Self.makeBomb(bomb.path)
            let stand = try MemoryStand(total: 128, ["--app", nginx.url], Self.settings(connections: 4000) + ["edge.cache.size=16MB"])
            let whole = try Data(contentsOf: bomb)
            for target in ["/bomb", "/stored-bomb", "/stored-bomb"] {
                for coding in ["gzip", "br", "identity", "zstd"] {
                    let answer = try Command.run(
                        "curl", ["-sS", "--max-time", "60", "-H", "Accept-Encoding: \(coding)", "http://127.0.0.1:\(stand.headrace.port)\(target)"])
                    #expect(answer.output == whole, "\(target) \(coding)")
                }
            }
            #expect(stand.answers())
            stand.expectBounded("a bomb of \(Self.isLong ? 10 : 1) GB in \(whole.count >> 10) KB")
            #expect(!stand.headrace.errorOutput.contains("given up"))
        }

        /// The commands that undo codings: what a page or a list unpacks to has a bound.
        @Test(.enabled(if: hasNginx, "nginx is not installed: run scripts/setup")) func `a bomb is unpacked by no command beyond its bound`() throws {
            let folder = try TemporaryFolder()
            let nginx = try Self.origin(folder)
            let bomb = folder.url.appending(path: "bomb")
            try Self.makeBomb(bomb.path)
            func peak(_ arguments: [String]) throws -> (mebibytes: Int, said: String) {
                let script = "import subprocess, resource, sys\nr = subprocess.run(sys.argv[1:], capture_output=True)\n"
                    + "print(r.stdout.decode(), r.stderr.decode(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, sep='\\n')"
                let result = try Command.run("python3", ["-c", script, HeadraceProcess.binary.path] + arguments)
                let lines = result.text.split(separator: "\n")
                return (lines.last.flatMap { Int($0) }.map { $0 >> 10 } ?? .max, result.text + result.errors)
            }
            let warmed = try peak(["warm", "--sitemap", bomb.path, "--to", nginx.url])
            #expect(warmed.said.contains("larger than 50 MB"), "\(warmed.said)")
            #expect(warmed.mebibytes < 256, "\(warmed.mebibytes) MiB")
            let visited = try peak(["bench", "\(nginx.url)/bomb", "--visitor", "--rate", "1", "--duration", "1s"])
            #expect(visited.mebibytes < 512, "\(visited.mebibytes) MiB: \(visited.said)")
            if Self.isLong { print("memory.total: a bomb: warm \(warmed.mebibytes) MiB, bench with visitors \(visited.mebibytes) MiB: \(visited.said.suffix(600))") }
        }
    }
}
