import Foundation
import Testing

@testable import headrace

/// A server that says what a test tells it to, to one client: each step waits for the client's next message.
private final class ScriptedPostgres: Sendable {
    let port: Int

    /// - Parameters:
    ///   - steps: what it answers to the start-up message, and then to what comes; behind the last it closes.
    ///   - staysSilent: it keeps the connection in the place of closing it.
    init(_ steps: [[UInt8]], staysSilent: Bool = false) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) == 0 && listen(descriptor, 4) == 0 && getsockname(descriptor, $0, &size) == 0 }
        }
        try #require(isBound)
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread {
            let client = accept(descriptor, nil, nil)
            // Here and not at the end of the test: a number that was given to another by then would be taken for ours.
            close(descriptor)
            guard client >= 0 else { return }
            var chunk = [UInt8](repeating: 0, count: 4096)
            for step in steps {
                guard recv(client, &chunk, chunk.count, 0) > 0 else { break }
                _ = step.withUnsafeBytes { Glibc.send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            }
            // Until the client is gone, if it is not to be closed before.
            if staysSilent { while recv(client, &chunk, chunk.count, 0) > 0 {} }
            close(client)
        }
    }

    var url: PostgresURL { get throws { try PostgresURL("postgres://ann@127.0.0.1:\(port)/shop") } }

    static func message(_ kind: Character, _ payload: [UInt8]) -> [UInt8] {
        let length = UInt32(payload.count + 4)
        return [kind.asciiValue ?? 0] + (0..<4).reversed().map { UInt8(truncatingIfNeeded: length >> (8 * UInt32($0))) } + payload
    }

    static let welcome = message("R", [0, 0, 0, 0]) + message("S", Array("server_version\u{0}17.1\u{0}".utf8)) + ready
    static let ready = message("Z", [UInt8(ascii: "I")])

    static func error(_ state: String, _ words: String) -> [UInt8] {
        message("E", Array("SFATAL\u{0}VFATAL\u{0}C\(state)\u{0}M\(words)\u{0}\u{0}".utf8))
    }

    static func row(_ columns: [String?]) -> [UInt8] {
        var payload: [UInt8] = [0, UInt8(columns.count)]
        for column in columns {
            let bytes = column.map { Array($0.utf8) }
            payload += bytes.map { [0, 0, 0, UInt8($0.count)] + $0 } ?? [255, 255, 255, 255]
        }
        return message("D", payload)
    }
}

@Suite struct BlockingPostgresTests {
    private func session(_ server: ScriptedPostgres, password: String? = nil, seconds: Int = 30) throws -> BlockingPostgres {
        try BlockingPostgres(try server.url, user: "ann", password: password, applicationName: "test", seconds: seconds)
    }

    @Test func `rows come as text, NULL as nil, and those beyond the bound are read and forgotten`() throws {
        let done = ScriptedPostgres.message("C", Array("SELECT 3\u{0}".utf8)) + ScriptedPostgres.ready
        let rows = ScriptedPostgres.row(["1", nil]) + ScriptedPostgres.row(["", "ä"]) + ScriptedPostgres.row(["3", "x"])
        let server = try ScriptedPostgres([ScriptedPostgres.welcome, rows + done, ScriptedPostgres.row(["again"]) + done])
        let session = try session(server)
        #expect(try session.rows("SELECT", rowsMax: 2) == [["1", nil], ["", "ä"]])
        #expect(try session.rows("SELECT", rowsMax: 2) == [["again"]])
    }

    @Test func `an error is told in the server's words, and the session goes on`() throws {
        let server = try ScriptedPostgres([
            ScriptedPostgres.welcome, ScriptedPostgres.error("42P01", "relation \"x\" does not exist") + ScriptedPostgres.ready,
            ScriptedPostgres.row(["1"]) + ScriptedPostgres.ready,
        ])
        let session = try session(server)
        let failure = #expect(throws: BlockingPostgres.Failure.self) { try session.rows("SELECT", rowsMax: 1) }
        #expect(failure?.description.contains("relation \"x\" does not exist (42P01)") == true && failure?.isRefusedLogin == false)
        #expect(try session.rows("SELECT 1", rowsMax: 1) == [["1"]])
    }

    @Test(arguments: [
        (ScriptedPostgres.error("28P01", "password authentication failed"), true), (ScriptedPostgres.error("28000", "no pg_hba.conf entry"), true),
        // It asks for a password in clear text, by MD5, by SCRAM, by Kerberos.
        (ScriptedPostgres.message("R", [0, 0, 0, 3]), true), (ScriptedPostgres.message("R", [0, 0, 0, 5, 1, 2, 3, 4]), true),
        (ScriptedPostgres.message("R", [0, 0, 0, 10] + Array("SCRAM-SHA-256\u{0}\u{0}".utf8)), true), (ScriptedPostgres.message("R", [0, 0, 0, 7]), true),
        (ScriptedPostgres.error("53300", "sorry, too many clients already"), false), (ScriptedPostgres.error("57P03", "the database system is starting up"), false),
        (Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), false), ([UInt8(ascii: "R"), 0, 0, 0, 2], false), ([UInt8(ascii: "Z"), 255, 255, 255, 255], false), ([], false),
    ] as [([UInt8], Bool)])
    func `a login that is refused is told from a server that is not there`(answer: [UInt8], isRefused: Bool) throws {
        let server = try ScriptedPostgres([answer])
        let failure = #expect(throws: BlockingPostgres.Failure.self) { _ = try session(server) }
        #expect(failure?.isRefusedLogin == isRefused, "\(failure?.description ?? "")")
    }

    @Test func `a server that says nothing is given up after the time`() throws {
        let server = try ScriptedPostgres([], staysSilent: true)
        let failure = #expect(throws: BlockingSocket.Failure.self) { _ = try session(server, seconds: 1) }
        #expect(failure?.isTimeout == true && failure?.description.contains("no answer in time") == true)
    }

    @Test func `a connection that ends in the middle of an answer is no answer`() throws {
        let server = try ScriptedPostgres([ScriptedPostgres.welcome, Array(ScriptedPostgres.row(["1"]).dropLast(1))])
        let session = try session(server)
        #expect(throws: BlockingPostgres.Failure.self) { try session.rows("SELECT 1", rowsMax: 1) }
    }

    // MARK: The probe through the pooler, which asks by it

    private func probe(_ server: ScriptedPostgres, isBusy: Bool = false) throws -> PoolerProbe.Finding? {
        PoolerProbe.ask(
            .tcp(host: "127.0.0.1", port: server.port), as: try PostgresURL("postgres://ann@192.0.2.1:5432/shop"), password: nil, applicationName: "probe", isBusy: isBusy)
    }

    @Test func `a query that comes through is no error; what asks for a password lets nobody ask; without a user nobody is there to ask`() throws {
        #expect(try probe(ScriptedPostgres([ScriptedPostgres.welcome, ScriptedPostgres.row(["1"]) + ScriptedPostgres.ready])) == .init())
        let refused = try #require(try probe(ScriptedPostgres([ScriptedPostgres.message("R", [0, 0, 0, 5, 1, 2, 3, 4])])))
        #expect(refused.error == nil && refused.note?.contains("no query through it") == true)
        #expect(PoolerProbe.ask(.tcp(host: "127.0.0.1", port: 1), as: try PostgresURL("postgres://192.0.2.1/shop"), password: nil, applicationName: "probe", isBusy: false) == nil)
    }

    @Test func `what goes wrong is said in words, and a queue is no outage`() throws {
        let broken = try #require(try probe(ScriptedPostgres([ScriptedPostgres.welcome, ScriptedPostgres.error("08006", "server connection closed")])))
        #expect(broken.error?.hasPrefix("SELECT 1 through it: ") == true)
        let other = try #require(try probe(ScriptedPostgres([ScriptedPostgres.welcome, ScriptedPostgres.row(["2"]) + ScriptedPostgres.ready])))
        #expect(other.error?.contains("something else") == true)
        #expect(try probe(ScriptedPostgres([ScriptedPostgres.welcome], staysSilent: true))?.error?.contains("no answer in time") == true)
        let busy = try #require(try probe(ScriptedPostgres([ScriptedPostgres.welcome], staysSilent: true), isBusy: true))
        #expect(busy.error == nil && busy.note == "all server connections are busy")
    }
}
