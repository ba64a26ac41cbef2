import Testing

@testable import Pooler

@Suite struct ConsoleCommandTests {
    @Test(arguments: ConsoleTable.allCases)
    func `every table can be shown, in any case`(table: ConsoleTable) throws {
        #expect(try ConsoleCommand("SHOW \(table.rawValue);") == .show(table))
        #expect(try ConsoleCommand(" show\t\(table.rawValue.lowercased()) ; ;\n") == .show(table))
        #expect(try ConsoleCommand("/* x */ SHOW \(table.rawValue.split(separator: "_").joined(separator: " ")) -- y") == .show(table))
    }

    @Test(arguments: [
        ("PAUSE", ConsoleCommand.pause(database: nil)), ("pause shop", .pause(database: "shop")), ("PAUSE \"sh\"\"op\";", .pause(database: "sh\"op")),
        ("RESUME", .resume(database: nil)), ("RESUME Shop", .resume(database: "Shop")), ("DISABLE shop", .disable(database: "shop")),
        ("ENABLE shop", .enable(database: "shop")), ("RECONNECT", .reconnect(database: nil)), ("RECONNECT shop", .reconnect(database: "shop")),
        ("KILL", .kill(database: nil)), ("KILL shop", .kill(database: "shop")), ("KILL_CLIENT 17", .killClient(id: 17)), ("RELOAD", .reload),
        ("SUSPEND", .suspend), ("SHUTDOWN", .shutdown(.now)), ("SHUTDOWN WAIT_FOR_SERVERS", .shutdown(.waitForServers)),
        ("shutdown wait_for_clients;", .shutdown(.waitForClients)), ("WAIT_CLOSE", .waitClose(database: nil)),
        ("WAIT_CLOSE shop", .waitClose(database: "shop")), ("SET pool_mode = 'session'", .set(key: "pool_mode", value: "session")),
        ("set QUERY_TIMEOUT=5;", .set(key: "query_timeout", value: "5")), ("SET a TO b c", .set(key: "a", value: "b c")),
        ("SET a = ''", .set(key: "a", value: "")), ("SELECT pools", .show(.pools)), ("", .empty), (";", .empty), (" -- ping", .empty),
        ("/* ping */", .empty), ("BEGIN", .courtesy(tag: "BEGIN")), ("ROLLBACK", .courtesy(tag: "ROLLBACK")),
        ("SET extra_float_digits = 3", .courtesy(tag: "SET")), ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", .courtesy(tag: "SET")),
        ("SET application_name = 'x'", .courtesy(tag: "SET")), ("DISCARD ALL", .courtesy(tag: "DISCARD ALL")),
        ("SHOW \u{0B}POOLS", .show(.pools)),
    ])
    func `commands are read`(text: String, command: ConsoleCommand) throws {
        #expect(try ConsoleCommand(text) == command)
    }

    @Test(arguments: [
        ("SHOW", ConsoleCommand.Problem.argument("what to show, use SHOW HELP;")), ("SHOW NOTHING", .unknownTable("NOTHING")),
        ("SHOW \"POOLS\"", .unknownTable("POOLS")), ("DROP TABLE x", .unknown(command: "DROP")), ("SELECT 1", .unknown(command: "SELECT")),
        ("SHOW POOLS SHOW", .argument("nothing before 'SHOW'")), ("SHOW POOLS; SHOW STATS", .several), ("PAUSE a b", .argument("nothing before 'b'")),
        ("DISABLE", .argument("the name of a database")), ("KILL_CLIENT", .argument("the id of a client, see SHOW CLIENTS;")),
        ("KILL_CLIENT x", .argument("the id of a client, see SHOW CLIENTS;")),
        ("KILL_CLIENT -1", .argument("the id of a client, see SHOW CLIENTS;")),
        ("KILL_CLIENT 99999999999999999999", .argument("the id of a client, see SHOW CLIENTS;")), ("SET", .argument("SET key = value")),
        ("SET a", .argument("SET key = value")), ("SET a =", .argument("SET key = value")), ("SET 'a' = b", .argument("SET key = value")),
        ("PAUSE \"a", .argument("a closing quote")), ("/* x", .argument("*/")), ("/*/", .argument("*/")),
        ("SHUTDOWN LATER", .argument("WAIT_FOR_SERVERS or WAIT_FOR_CLIENTS")), ("RELOAD x", .argument("nothing before 'x'")),
    ])
    func `what is no command is said to be none`(text: String, problem: ConsoleCommand.Problem) {
        #expect(throws: problem) { try ConsoleCommand(text) }
        #expect(!problem.message.isEmpty)
    }

    @Test func `4096 bytes are read, 4097 are not`() throws {
        #expect(try ConsoleCommand("RELOAD" + String(repeating: " ", count: 4090)) == .reload)
        #expect(throws: ConsoleCommand.Problem.self) { try ConsoleCommand("RELOAD" + String(repeating: " ", count: 4091)) }
    }

    @Test func `observers look, admins do, others have no access`() {
        let access = ConsoleAccess(admins: ["root"], observers: ["stats"])
        #expect(access.verdict(on: .show(.pools), user: "stats") == .allowed)
        #expect(access.verdict(on: .show(.fds), user: "stats") == .adminOnly)
        #expect(access.verdict(on: .pause(database: nil), user: "stats") == .adminOnly)
        #expect(access.verdict(on: .shutdown(.now), user: "root") == .allowed)
        #expect(access.verdict(on: .show(.pools), user: "app") == .noAccess)
        #expect(access.mayConnect("stats") && access.mayConnect("root") && !access.mayConnect("app"))
    }
}
