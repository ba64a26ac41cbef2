/// What SHOW HELP says: a notice, as with PgBouncer, whose detail lists the commands.
enum ConsoleHelp {
    static let message = "Console usage"

    static var detail: String {
        let tables = ConsoleTable.allCases.filter { $0 != .help }.map(\.rawValue)
        var lines = ["", "\tSHOW HELP|" + tables.prefix(5).joined(separator: "|")]
        for start in stride(from: 5, to: tables.count, by: 5) {
            lines.append("\tSHOW " + tables[start..<min(start + 5, tables.count)].joined(separator: "|"))
        }
        return (lines + [
            "\tSET key = value", "\tRELOAD", "\tPAUSE [<db>]", "\tRESUME [<db>]", "\tDISABLE <db>", "\tENABLE <db>", "\tRECONNECT [<db>]",
            "\tKILL [<db>]", "\tKILL_CLIENT <client id>", "\tSUSPEND", "\tSHUTDOWN", "\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS",
            "\tWAIT_CLOSE [<db>]",
        ]).joined(separator: "\n")
    }
}
