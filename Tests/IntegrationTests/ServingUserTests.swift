import Foundation
import TestSupport
import Testing

/// What this machine lets a test do, and what the kernel says of who does it.
private enum Kernel {
    static var isReachable: Bool {
        let result = try? Command.run("setpriv", ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "test", "-x", HeadraceProcess.binary.path])
        return result?.status == 0
    }

    /// CAP_DAC_READ_SEARCH: containers may not have it.
    static var mayReadAll: Bool {
        let bounding = status(of: getpid())["CapBnd"].flatMap { UInt64($0, radix: 16) } ?? 0
        return bounding & 1 << 2 != 0
    }

    /// `/proc/PID/status`, or a thread's, by its names.
    static func status(of process: Int32, thread: String? = nil) -> [String: String] {
        let path = "/proc/\(process)\(thread.map { "/task/\($0)" } ?? "")/status"
        let lines = ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n")
        return Dictionary(lines.compactMap { line in
            line.firstIndex(of: ":").map { (String(line[..<$0]), line[line.index(after: $0)...].trimmingCharacters(in: .whitespaces)) }
        }) { first, _ in first }
    }
}

/// Who serves when root, or systemd, has started it, and files that only root can read: the release binary, started as root.
@Suite(
    .serialized,
    .enabled(if: geteuid() == 0, "only root becomes another user"),
    .enabled(if: ["setpriv", "openssl", "curl"].allSatisfy { Command.find($0) != nil }, "setpriv, openssl or curl is not installed: run scripts/setup"),
    .enabled(if: Kernel.isReachable, "the user nobody cannot run the program where it lies"))
struct ServingUserTests {
    private static let nobody = "65534"

    /// The processes of layers: children of any of the supervisor's threads.
    private static func workers(of process: Int32) throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").flatMap { thread in
            let text = (try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/children", encoding: .utf8)) ?? ""
            return text.split(separator: " ").compactMap { Int32($0) }
        }
    }

    private let folder: TemporaryFolder
    private var key: String { "\(folder.path)/private/key.pem" }
    private var certificate: String { "\(folder.path)/certificate.pem" }
    private var file: String { "\(folder.path)/private/headrace.yaml" }

    init() throws {
        folder = try TemporaryFolder()
        // As /etc/ssl/private.
        try FileManager.default.createDirectory(atPath: "\(folder.path)/private", withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        try renew("first")
        try write("private/users", "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        try write("private/token", "abc\n")
    }

    private func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(folder.path)/\(name)"))
        chmod("\(folder.path)/\(name)", 0o600)
    }

    /// Puts a certificate and its key in the place of those that are there, as a client of ACME does.
    private func renew(_ name: String) throws {
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=\(name)", "-keyout", key + ".new", "-out", certificate + ".new",
        ])
        try #require(made.status == 0, "\(made.errors)")
        chmod(key + ".new", 0o600)
        for path in [key, certificate] { #expect(rename(path + ".new", path) == 0) }
    }

    private func configure(_ processes: String, user: String? = "nobody", more: String = "") throws {
        try write(
            "private/headrace.yaml",
            """
            processes: \(processes)
            \(user.map { "user: \($0)" } ?? "")
            edge:
              root: \(folder.path)/site
              routes:
                - {match: {path: [/closed]}, files: {root: \(folder.path)/site}, basic_auth: {file: \(folder.path)/private/users}}
              access_log: off
              metrics_token: file:\(folder.path)/private/token
              tls:
                listen: [127.0.0.1:0]
                certificates: [\(certificate)]
                keys: [\(key)]
            \(more)
            """)
        try FileManager.default.createDirectory(atPath: "\(folder.path)/site", withIntermediateDirectories: true)
        try Data("page".utf8).write(to: URL(filePath: "\(folder.path)/site/index.html"))
    }

    private func page(_ headrace: HeadraceProcess, _ path: String = "/", _ more: [String] = []) throws -> String {
        try Command.run("curl", ["-sS", "-k", "--max-time", "20"] + more + ["https://127.0.0.1:\(headrace.port)\(path)"]).text
    }

    /// Whose certificate is shown.
    private func subject(_ headrace: HeadraceProcess) throws -> String? {
        let shown = try Command.run("openssl", ["s_client", "-connect", "127.0.0.1:\(headrace.port)"], input: Data()).text
        return shown.firstMatch(of: /subject=CN ?= ?(\w+)/).map { String($0.1) }
    }

    private func expectNoRights(_ process: Int32) {
        let status = Kernel.status(of: process)
        for name in ["Uid", "Gid"] { #expect(status[name]?.split(separator: "\t").map(String.init) == Array(repeating: Self.nobody, count: 4), "\(status)") }
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] { #expect(status[name] == "0000000000000000", "\(name): \(status[name] ?? "")") }
        #expect(status["NoNewPrivs"] == "1")
    }

    @Test func `layers serve as the user, with keys that only root can read, and read them again`() throws {
        try configure("per-layer", more: "keyspace: {listen: [127.0.0.1:0], directory: \(folder.path)/keys, append_only: true}\ndashboard: {state: \(folder.path)/state}")
        let headrace = try HeadraceProcess(["--config", file], saying: "https://")
        try #require(eventually { headrace.errorOutput.contains("keyspace: ") }, "\(headrace.errorOutput)")
        #expect(try page(headrace) == "page")
        #expect(try page(headrace, "/closed/", ["-u", "anna:secret", "-o", "/dev/null", "-w", "%{http_code}"]) == "404")
        #expect(try page(headrace, "/closed/", ["-u", "anna:wrong", "-o", "/dev/null", "-w", "%{http_code}"]) == "401")
        #expect(try subject(headrace) == "first")
        #expect(Kernel.status(of: headrace.processIdentifier)["Uid"]?.hasPrefix("0\t") == true)
        let workers = try Self.workers(of: headrace.processIdentifier)
        #expect(workers.count == 2)
        for worker in workers {
            expectNoRights(worker)
            #expect(Kernel.status(of: worker)["Groups"] == Self.nobody)
        }
        // What was made for them is theirs.
        for made in ["keys", "state"] { #expect(try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(made)")[.ownerAccountID] as? Int == 65_534) }
        // At a reload, and by one that is started anew, which asks at once.
        try renew("second")
        kill(headrace.processIdentifier, SIGHUP)
        #expect(try eventually { try subject(headrace) == "second" }, "\(headrace.errorOutput)")
        try renew("third")
        for worker in workers { kill(worker, SIGKILL) }
        #expect(try eventually { try subject(headrace) == "third" }, "\(headrace.errorOutput)")
        for layer in ["edge", "keyspace"] {
            #expect(try eventually { headrace.errorOutput.contains(try Regex("\(layer) ended by.* it serves again")) }, "\(headrace.errorOutput)")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/state").contains { $0.hasPrefix("crash-") })
        // A file that is named from now on.
        try write("private/other", "def\n")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try write("private/headrace.yaml", text.replacing("private/token", with: "private/other"))
        kill(headrace.processIdentifier, SIGHUP)
        #expect(eventually { headrace.errorOutput.contains("edge.metrics_token=(redacted)") }, "\(headrace.errorOutput)")
        #expect(!headrace.errorOutput.contains("not given") && !headrace.errorOutput.contains("not read"), "\(headrace.errorOutput)")
        headrace.terminate()
        #expect(headrace.waitForExit() == 0, "\(headrace.errorOutput)")
    }

    @Test func `one process binds, reads its keys, and serves as the user with every thread`() throws {
        let socket = "\(folder.path)/edge.socket"
        try configure("one", more: "dashboard: {state: \(folder.path)/state}")
        let headrace = try HeadraceProcess(["--config", file, "--listen", "unix:\(socket)", "--pidfile", "\(folder.path)/pid"], saying: "https://")
        #expect(try page(headrace) == "page")
        let process = headrace.processIdentifier
        expectNoRights(process)
        for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task") {
            let status = Kernel.status(of: process, thread: thread)
            // One may end meanwhile.
            guard let users = status["Uid"] else { continue }
            #expect(users.split(separator: "\t").allSatisfy { $0 == Self.nobody } && status["CapEff"] == "0000000000000000", "\(status)")
        }
        for made in ["edge.socket", "state"] { #expect(try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(made)")[.ownerAccountID] as? Int == 65_534) }
        #expect(try String(contentsOfFile: "\(folder.path)/pid", encoding: .utf8) == "\(process)\n")
        // The configuration itself is for root alone.
        kill(process, SIGHUP)
        #expect(eventually { headrace.errorOutput.contains("cannot be read: Permission denied, as this process has given up the right to: with processes: per-layer") }, "\(headrace.errorOutput)")
        // Now it is not, and the key is.
        chmod("\(folder.path)/private", 0o755)
        for name in ["headrace.yaml", "token", "users"] { chmod("\(folder.path)/private/\(name)", 0o644) }
        try renew("second")
        kill(process, SIGHUP)
        #expect(eventually { headrace.errorOutput.contains("a certificate was not read anew: the old one stays") }, "\(headrace.errorOutput)")
        #expect(eventually { headrace.errorOutput.contains("configuration read anew") }, "\(headrace.errorOutput)")
        #expect(try subject(headrace) == "first")
        headrace.terminate()
        #expect(headrace.waitForExit() == 0, "\(headrace.errorOutput)")
    }

    @Test(.enabled(if: Kernel.mayReadAll, "this machine has no CAP_DAC_READ_SEARCH"), arguments: ["per-layer", "one"])
    func `with the capabilities that the unit gives, files are read, and who serves has none of them`(processes: String) throws {
        let state = "\(folder.path)/state"
        try configure(processes, user: nil, more: "keyspace: {listen: [127.0.0.1:0]}\ndashboard: {state: \(state)}")
        try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: false)
        chown(state, 65_534, 65_534)
        let rights = "+dac_read_search,+net_bind_service"
        let headrace = try HeadraceProcess(
            ["--config", file], saying: "https://",
            // No folder to write to but that one.
            by: ["/usr/bin/env", "TMPDIR=/proc", "/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=\(rights)", "--ambient-caps=\(rights)"])
        try #require(eventually { headrace.errorOutput.contains("keyspace: ") }, "\(headrace.errorOutput)")
        #expect(try page(headrace) == "page")
        guard processes == "per-layer" else { return expectNoRights(headrace.processIdentifier) }
        #expect(Kernel.status(of: headrace.processIdentifier)["CapEff"] == "0000000000000404")
        // Nobody of that user may look into it: its files are root's.
        #expect(try FileManager.default.attributesOfItem(atPath: "/proc/\(headrace.processIdentifier)/mem")[.ownerAccountID] as? Int == 0)
        let workers = try Self.workers(of: headrace.processIdentifier)
        #expect(workers.count == 2)
        for worker in workers { expectNoRights(worker) }
        try renew("second")
        kill(headrace.processIdentifier, SIGHUP)
        #expect(try eventually { try subject(headrace) == "second" }, "\(headrace.errorOutput)")
        #expect(try page(headrace) == "page")
        headrace.terminate()
        #expect(headrace.waitForExit() == 0, "\(headrace.errorOutput)")
    }

    @Test func `a user that there is not is a mistake, and root without one is warned`() throws {
        try configure("one", user: "nobody-of-this-name")
        let result = try Command.run("env", [HeadraceProcess.binary.path, "serve", "--config", file])
        #expect(result.status == 78 && result.errors.contains("user: this machine has no user \"nobody-of-this-name\""), "\(result.errors)")
        try configure("one", user: nil)
        let headrace = try HeadraceProcess(["--config", file], saying: "https://")
        #expect(headrace.errorOutput.contains("root serves"), "\(headrace.errorOutput)")
    }
}
