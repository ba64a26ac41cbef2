import Foundation
import TestSupport
import Testing

/// What systemd is told, and the unit that Packaging has for it.
@Suite struct ServiceManagerTests {
    /// A socket as systemd's, which keeps what it is told.
    private final class Listener {
        let path = "/tmp/headrace-notify-\(UUID().uuidString.prefix(13))"
        private let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)

        init() throws {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let isBound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 }
            }
            try #require(isBound)
            var wait = timeval(tv_sec: 20, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit {
            close(descriptor)
            unlink(path)
        }

        /// What has come and was not asked for.
        func rest() -> [String] {
            var (buffer, words) = ([UInt8](repeating: 0, count: 4096), [String]())
            while true {
                let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                guard count > 0 else { return words }
                words.append(String(decoding: buffer[..<count], as: UTF8.self))
            }
        }

        /// The next word that begins so; those before it are dropped.
        func next(_ prefix: String) throws -> String {
            var buffer = [UInt8](repeating: 0, count: 4096)
            for _ in 0..<1000 {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                try #require(count > 0, "nothing came that begins with \(prefix)")
                let text = String(decoding: buffer[..<count], as: UTF8.self)
                if text.hasPrefix(prefix) { return text }
            }
            return ""
        }
    }

    @Test(arguments: ["one", "per-layer"]) func `a configuration with a mistake ends a reload as well, and nothing is ready that has begun to end`(processes: String) throws {
        let listener = try Listener()
        let file = try TemporaryFile("edge: {limits: {body: 1000B}}", name: "headrace.yaml")
        let origin = try ScriptedOrigin(body: "page")
        let process = Program()
        process.executableURL = HeadraceProcess.binary
        process.arguments = ["serve", "--config", file.path, "--app", origin.url, "--listen", "127.0.0.1:0", "--set", "edge.access_log=off", "--set", "processes=\(processes)"]
        process.environment = ["NOTIFY_SOCKET": listener.path, "HOME": "/tmp", "PATH": "/usr/bin:/bin"]
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.start()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        _ = try listener.next("READY=1")
        try file.replace("edge: {limits: {body: x}}")
        kill(process.processIdentifier, SIGHUP)
        _ = try listener.next("RELOADING=1")
        _ = try listener.next("READY=1")
        try file.replace("edge: {limits: {body: 2000B}}")
        kill(process.processIdentifier, SIGHUP)
        // In the midst of that.
        _ = try listener.next("RELOADING=1")
        kill(process.processIdentifier, SIGTERM)
        _ = try listener.next("STOPPING=1")
        #expect(eventually { !process.isRunning })
        #expect(process.terminationStatus == 0)
        #expect(listener.rest() == [])
    }

    @Test(arguments: ["one", "per-layer"]) func `systemd is told when it serves, that it lives, reloads and drains`(processes: String) throws {
        let listener = try Listener()
        let origin = try ScriptedOrigin(body: "page")
        let process = Program()
        process.executableURL = HeadraceProcess.binary
        process.arguments = ["serve", "--app", origin.url, "--listen", "127.0.0.1:0", "--keyspace", "127.0.0.1:0", "--set", "edge.access_log=off", "--set", "processes=\(processes)"]
        process.environment = ["NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "400000", "HOME": "/tmp", "PATH": "/usr/bin:/bin"]
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.start()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        #expect(try listener.next("READY=1").contains("STATUS=serving"))
        let began = Date()
        for _ in 0..<3 { #expect(try listener.next("WATCHDOG=1") == "WATCHDOG=1") }
        #expect(Date().timeIntervalSince(began) < 10)
        kill(process.processIdentifier, SIGHUP)
        let reloading = try listener.next("RELOADING=1")
        #expect(reloading.contains(/MONOTONIC_USEC=\d+/), "\(reloading)")
        #expect(try listener.next("READY=1").contains("serving"))
        kill(process.processIdentifier, SIGTERM)
        #expect(try listener.next("STOPPING=1").contains("draining"))
        #expect(eventually { !process.isRunning })
        #expect(process.terminationStatus == 0)
    }

    @Test func `a name that is none, and a watchdog for another process, change nothing`() throws {
        let origin = try ScriptedOrigin(body: "page")
        for name in ["", "relative", "/" + String(repeating: "x", count: 200), "@", "/nowhere/there"] {
            let result = try Command.run(
                "timeout", [
                    "--preserve-status", "-s", "TERM", "3", "env", "NOTIFY_SOCKET=\(name)", "WATCHDOG_USEC=abc", "WATCHDOG_PID=1", HeadraceProcess.binary.path, "serve", "--app", origin.url, "--listen",
                    "127.0.0.1:0", "--set", "edge.access_log=off",
                ])
            #expect(result.status == 0 && result.errors.contains("edge: http://"), "\(name): \(result.errors)")
        }
    }

    @Test(.enabled(if: Command.find("systemd-analyze") != nil, "systemd is not installed"))
    func `the unit has no mistake, and what it may is little`() throws {
        // The program need not be installed for that.
        let unit = try String(contentsOf: HeadraceProcess.repository.appending(path: "Packaging/headrace.service"), encoding: .utf8)
        let file = try TemporaryFile(unit.replacing("/usr/local/bin/headrace", with: HeadraceProcess.binary.path), name: "headrace.service")
        let verified = try Command.run("systemd-analyze", ["verify", file.path])
        #expect(verified.status == 0 && verified.errors.isEmpty, "\(verified.errors)")
        let rated = try Command.run("systemd-analyze", ["--no-pager", "security", "--offline=true", file.path])
        let exposure = try #require(rated.text.firstMatch(of: /Overall exposure level for .*: ([0-9.]+)/), "\(rated.text)\(rated.errors)")
        #expect(Double(exposure.1) ?? 10 < 2.0, "\(exposure.0)")
    }
}
