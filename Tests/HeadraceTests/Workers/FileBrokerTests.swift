import Foundation
import Logging
import TestSupport
import Testing
import Transport

@testable import headrace

/// What the supervisor opens for the processes of layers, asked by one that means harm.
@Suite struct FileBrokerTests {
    private let folder: TemporaryFolder
    private let key: String
    private var loaded = ConfigurationSources.Loaded()

    init() throws {
        folder = try TemporaryFolder()
        key = "\(folder.path)/key.pem"
        try Data("a key".utf8).write(to: URL(filePath: key))
        chmod(key, 0o600)
        loaded.settings.edge.tls.keys = [key]
    }

    private func broker(readAgain: @escaping @Sendable () throws -> ConfigurationSources.Loaded = { throw CancellationError() }) -> FileBroker {
        FileBroker(
            loaded, paths: PathGuard(user: PathGuardTests.nobody, groups: [PathGuardTests.nobody]), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            readAgain: readAgain)
    }

    /// The door of a process, which is served.
    private func door(_ broker: FileBroker) throws -> Int32 {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
        broker.serve(.edge, on: ends[0])
        return ends[1]
    }

    private func refusal(_ path: String, _ broker: FileBroker, now: ContinuousClock.Instant = .now) -> FileBroker.Refusal? {
        do {
            close(try broker.open(path, now: now))
            return nil
        } catch {
            return error
        }
    }

    @Test func `a file that is named is given, again and again, and what it holds then`() throws {
        let client = FileBroker.Client(try door(broker()))
        for content in ["a key", "another"] {
            try Data(content.utf8).write(to: URL(filePath: key), options: .atomic)
            let descriptor = try #require(client.open(key))
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 100)
            let count = read(descriptor, &bytes, bytes.count)
            #expect(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self) == content)
            // To read from, and nothing else.
            #expect(write(descriptor, "x", 1) == -1)
            #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
        }
        #expect(client.open("/etc/shadow") == nil && client.open("") == nil)
        // It listens still.
        #expect(client.open(key).map { close($0) } == 0)
    }

    @Test(arguments: ["/etc/shadow", "key.pem", "/etc/../etc/shadow"]) func `what is not named as it is written is not given`(path: String) {
        #expect(refusal(path, broker()) == .notNamed)
        #expect(refusal("\(folder.path)//key.pem", broker()) == .notNamed)
    }

    @Test func `what is no file with content, or too large, is not given and waited for`() throws {
        let broker = broker()
        for make in [{ mkfifo(key, 0o600) }, { mkdir(key, 0o700) }, { symlink("/dev/zero", key) }] {
            remove(key)
            #expect(make() == 0)
            #expect(refusal(key, broker) == .notRegular)
        }
        remove(key)
        #expect(refusal(key, broker) == .system(ENOENT))
        try Data().write(to: URL(filePath: key))
        for (size, expected) in [(ConfiguredFile.bytesMax, nil), (ConfiguredFile.bytesMax + 1, FileBroker.Refusal.tooLarge)] {
            #expect(truncate(key, off_t(size)) == 0)
            #expect(refusal(key, broker) == expected)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root gives files away")) func `a link that the layers' user has put in its place is not followed`() throws {
        let broker = broker()
        let secret = try TemporaryFile("not yours")
        remove(key)
        #expect(symlink(secret.path, key) == 0)
        #expect(refusal(key, broker) == nil, "root's link is followed")
        chown(folder.path, PathGuardTests.nobody, PathGuardTests.nobody)
        #expect(refusal(key, broker) == .guarded(.isChangeable(folder.path)))
    }

    @Test func `a name that is new is looked for in the configuration, once a second at most`() throws {
        let (new, now) = (try TemporaryFile("new"), ContinuousClock.now)
        var next = loaded
        next.settings.edge.tls.keys = [new.path]
        let broker = broker { [next] in next }
        #expect(refusal(new.path, broker, now: now) == .notNamed)
        #expect(refusal("/etc/shadow", broker, now: now + .seconds(3)) == .notNamed)
        #expect(refusal(new.path, broker, now: now + .seconds(3)) == nil)
        // The one that layers have until they have read the other.
        #expect(refusal(key, broker) == nil)
    }

    @Test func `a configuration that who asks may have written names nothing`() throws {
        let file = "\(folder.path)/headrace.yaml"
        try Data("edge: {}".utf8).write(to: URL(filePath: file))
        var trusting = self
        trusting.loaded.fileName = file
        #expect(refusal(key, trusting.broker()) == nil && refusal(file, trusting.broker()) == nil)
        chmod(file, 0o666)
        #expect(refusal(key, trusting.broker()) == .notNamed)
    }

    /// Without an end, without a beginning, with what no path has.
    private static let hostile: [[UInt8]] = [
        [1, 2, 3, 4], [1], [1, 2, 3, 4] + [UInt8](repeating: 0x61, count: FileBroker.pathBytesMax + 1), [UInt8](repeating: 0x61, count: 60_000), [1, 2, 3, 4, 0],
        [1, 2, 3, 4] + Array("/etc/passwd\0.pem".utf8), [1, 2, 3, 4, 0xFF, 0xFE],
    ]

    @Test(arguments: hostile.indices) func `what is no request ends the door of who has sent it`(index: Int) throws {
        let bytes = Self.hostile[index]
        #expect(FileBroker.request(bytes[...]) == nil)
        let broker = broker()
        let (hostile, other) = (try door(broker), FileBroker.Client(try door(broker)))
        defer { close(hostile) }
        #expect(send(hostile, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
        var answer = [UInt8](repeating: 0, count: 8)
        #expect(recv(hostile, &answer, answer.count, 0) == 0)
        #expect(other.open(key).map { close($0) } == 0)
    }

    @Test func `the longest path is a request, and descriptors that come with one are not kept`() throws {
        let longest = [1, 2, 3, 4] + [UInt8](repeating: 0x61, count: FileBroker.pathBytesMax)
        #expect(FileBroker.request(longest[...])?.path.utf8.count == FileBroker.pathBytesMax)
        let door = try door(broker())
        defer { close(door) }
        #expect(send(door, longest, longest.count, Int32(MSG_NOSIGNAL)) == longest.count)
        var answer = [UInt8](repeating: 0, count: 8)
        #expect(recv(door, &answer, answer.count, 0) == 8)
        #expect(answer == [1, 2, 3, 4] + withUnsafeBytes(of: EACCES.littleEndian) { Array($0) })
    }

    @Test func `a supervisor that does not answer is not waited for, and its late answer is not the next one's`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
        let client = FileBroker.Client(ends[1], wait: .milliseconds(100))
        #expect(client.open(key) == nil)
        // From here on it answers, the first request first.
        let broker = broker()
        broker.serve(.edge, on: ends[0])
        let patient = try #require(eventually { client.open(key).map { close($0) } == 0 } ? client : nil)
        #expect(patient.open("/etc/shadow") == nil)
    }
}

/// Certificates of a process that is no more root, by a broker that is.
@Suite(.serialized, .enabled(if: geteuid() == 0, "only root becomes another user"), .enabled(if: Command.find("openssl") != nil, "openssl is not installed: run scripts/setup"))
struct BrokeredCertificateTests {
    @Test func `a key in a folder of root's is read by who may not, and read again when it has changed`() throws {
        let folder = try TemporaryFolder()
        chmod(folder.path, 0o700)
        let files = TLSFiles(certificate: "\(folder.path)/certificate.pem", key: "\(folder.path)/key.pem")
        func renew(_ name: String) throws {
            let made = try Command.run("openssl", [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a", "-addext", "subjectAltName=DNS:\(name)", "-keyout", "\(folder.path)/key.pem", "-out",
                "\(folder.path)/certificate.pem",
            ])
            try #require(made.status == 0, "\(made.errors)")
        }
        try renew("first")
        var loaded = ConfigurationSources.Loaded()
        (loaded.settings.edge.tls.certificates, loaded.settings.edge.tls.keys) = ([files.certificate ?? ""], [files.key ?? ""])
        let nobody: ServingUser = try #require(ServingUser(named: "nobody"))
        let rights = WorkerRights(nobody)
        #expect(throws: TLSCertificates.Problem.self, "nobody helps") { try rights.perform { try TLSCertificates([files]) } }
        let broker = FileBroker(loaded, paths: rights.paths, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { throw CancellationError() }
        // On a thread that is root's still.
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
        broker.serve(.edge, on: ends[0])
        let client = FileBroker.Client(ends[1])
        ConfiguredFile.ask(.init(refusal: "it was refused") { client.open($0) })
        let certificates = try rights.perform { try TLSCertificates([files]) }
        #expect(certificates.descriptions.map(\.names) == [["first"]])
        #expect(try rights.perform { certificates.replaceChanged().count } == 0)
        try renew("second")
        #expect(try rights.perform { certificates.replaceChanged().count } == 1)
        #expect(certificates.descriptions.map(\.names) == [["second"]])
        // What is given no more is kept, and is not said to have changed for that.
        ConfiguredFile.ask(.init(refusal: "it was refused") { _ in nil })
        #expect(try rights.perform { certificates.replaceChanged() } == (0, []))
        let problems = try rights.perform { try certificates.replace([files]) }
        #expect(problems.map(\.reason) == ["cannot be read: Permission denied, it was refused"])
        #expect(certificates.descriptions.map(\.names) == [["second"]])
        // The rights are that thread's alone.
        #expect(geteuid() == 0)
    }
}
