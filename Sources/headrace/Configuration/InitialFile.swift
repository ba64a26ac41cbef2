/// The file that `headrace init` writes for what runs on this machine.
///
/// The edge stands before the application at once: nothing else has to change for that. The pooler and the keyspace take somebody's place, and
/// then clients have to be told; that is for the user to decide. So their sections say how it would be, commented out, and it only
/// takes the comment signs to be taken off.
enum InitialFile {
    struct Choice {
        var text: String
        /// What the edge stands before; `nil` when nobody speaks HTTP.
        var application: RunningServices.Found?
    }

    /// - Parameters:
    ///   - found: what was asked.
    ///   - taken: every port that something listens on.
    static func make(_ found: [RunningServices.Found], taken: Set<Int>) -> Choice {
        let application = found.filter { $0.kind == .http && $0.program != "headrace" }.min { $0.rank < $1.rank }
        let taken = taken.union(found.map(\.port))
        var sections = Sections()
        var heading = ["Headrace, written by `headrace init`."]
        if let application {
            sections.values["edge.app"] = "http://\(application.authority)"
            heading.append("In front of \(application.description).")
        }
        let others = found.filter { $0.port != application?.port }
        if !others.isEmpty { heading.append("Also running: \(others.map(\.description).joined(separator: "; ")).") }
        // 8080 is ours by default, unless somebody has it.
        let port = free(from: 8080, taken)
        if port != 8080 { sections.values["edge.listen"] = "[127.0.0.1:\(port)]" }
        sections.pooler(found, at: free(from: 6432, taken))
        sections.keyspace(found, at: free(from: 6379, taken))
        return Choice(
            text: ConfigurationReference.example(
                found: sections.values, suggested: sections.suggested, notes: sections.notes, heading: heading),
            application: application)
    }

    /// The first port that nobody listens on.
    private static func free(from first: Int, _ taken: Set<Int>) -> Int { (first...65_535).first { !taken.contains($0) } ?? first }

    private struct Sections {
        /// By path: what is set.
        var values: [String: String] = [:]
        /// By path: what stands there commented out.
        var suggested: [String: String] = [:]
        /// By section: what is said at its beginning.
        var notes: [String: [String]] = [:]

        mutating func pooler(_ found: [RunningServices.Found], at port: Int) {
            let server = found.first { $0.kind == .postgreSQL }
            if let server {
                suggested["pooler.listen"] = "[127.0.0.1:\(port)]"
                suggested["pooler.postgres"] = "postgres://\(server.authority)"
                notes["pooler"] = [
                    "\(server.description): the pooler stands before it once listen and postgres below have lost their #,",
                    "and the application connects to 127.0.0.1:\(port) in the place of \(server.authority).",
                    "docs/pooler.md says how clients prove who they are, and as whom it logs in.",
                ]
            }
            guard let other = found.first(where: { $0.kind == .pgBouncer }) else { return }
            notes["pooler", default: []] += [
                "\(other.description) is a pooler already, and two in a row gain nothing.", "docs/pooler.md has its settings beside ours.",
            ]
        }

        mutating func keyspace(_ found: [RunningServices.Found], at port: Int) {
            for service in found {
                guard case .redis(let settings) = service.kind else { continue }
                suggested["keyspace.listen"] = "[127.0.0.1:\(port)]"
                if let bytes = settings.bytesMax, bytes >= 0 { suggest("keyspace.maxmemory", SizeText.render(bytes)) }
                if let policy = settings.policy { suggest("keyspace.policy", policy) }
                notes["keyspace"] = [
                    "\(service.description): the keyspace takes its place once listen, maxmemory and policy below have lost their #,",
                    "and clients connect to 127.0.0.1:\(port) in the place of \(service.authority). What Redis holds comes along in its dump.rdb,",
                    "when that lies in keyspace.directory; docs/keyspace.md says what is not the same.",
                ]
                if settings.needsPassword { notes["keyspace"]?.append("It asks for a password: so should the keyspace (password below).") }
                return
            }
        }

        /// Another program's value, if it is one of ours, too.
        private mutating func suggest(_ path: String, _ value: String) {
            var settings = Settings()
            guard let key = ConfigurationKeys.key(path), (try? key.assign([value], &settings)) != nil else { return }
            suggested[path] = value
        }
    }
}
