/// What can be said of a Headrace that serves, beside what ``SiteChecks`` say of any site: one row per check.
struct DeployedCheck: Sendable {
    /// For `--only`, and in JSON.
    let name: String
    let title: String
    /// One line.
    let why: String
    /// To paste, or to do.
    let fix: String
    let judge: @Sendable (DeployedEvidence) -> SiteCheck.Outcome
}

enum DeployedChecks {
    static let hitShareMin = 0.6
    /// With fewer a share says nothing.
    static let lookupsMin = 100.0
    /// Requests in the time that is looked at, so that a layer without any of them is "unused" and not "not yet used".
    static let busyRequestsMin = 20.0
    static let memoryShareMax = 0.8
    static let backlogMin = 1024
    static let portsMin = 10_000
    private static let shownMax = 8

    static let all: [DeployedCheck] = [
        DeployedCheck(
            name: "passage", title: "The public address leads through this edge", why: "Deployed, green and unused: visitors that go past it gain nothing.",
            fix: "Point the name, or the proxy in front, at edge.listen. With prove.secret set (openssl rand -hex 32) it is known that it is this edge.",
            judge: { evidence in
                switch evidence.passage {
                case .signed: .good("a signed request came back with this edge's answer")
                case .unsigned: .good("a Headrace answers; with prove.secret it would be known that it is this one")
                case .elsewhere(let text): .problem(["\(evidence.url): \(text)"])
                }
            }),
        DeployedCheck(
            name: "services", title: "Everything behind it answers", why: "A layer is as good as what is behind it.", fix: "Start what is down; the address is in the configuration.",
            judge: { evidence in
                guard let services = evidence.latest?.services else { return .notApplicable("the dashboard could not be read") }
                let down = services.filter { $0.state == "down" }
                return down.isEmpty ? .good("\(services.count) of \(services.count)") : .problem(down.map { "\($0.name): \($0.lastError ?? "down")" })
            }),
        DeployedCheck(
            name: "idle-layers", title: "Every layer that is on is used", why: "A layer without traffic costs, and helps nobody.",
            fix: "Send the traffic through it, or switch it off.",
            judge: { evidence in
                guard let latest = evidence.latest else { return .notApplicable("the dashboard could not be read") }
                guard latest.total("requests") >= busyRequestsMin else { return .notApplicable("too few requests so far") }
                let idle = latest.layers.filter { $0.state == "idle" }
                return idle.isEmpty ? .good("\(latest.layers.count { $0.state == "on" }) of them") : .problem(idle.map { "\($0.title): on, and nothing goes through it" })
            }),
        DeployedCheck(
            name: "pooler-crossed", title: "The application asks PostgreSQL through the pooler", why: "Left on port 5432, the application never meets the pooler, however healthy it is.",
            fix: "Give the application the pooler's address: DATABASE_URL=postgres://…@HOST:6432/…",
            judge: { evidence in
                crossed(evidence, isThere: evidence.sessions != nil, "no pooler", "transactions", of: \.transactions, ownMax: 0)
            }),
        DeployedCheck(
            name: "sessions", title: "Nobody goes past the pooler", why: "Each session past it takes one of PostgreSQL's places, and none of its sharing.",
            fix: "Find the program at that address, and give it the pooler's address; then let pg_hba.conf take connections from the pooler alone.",
            judge: { evidence in
                guard let sessions = evidence.sessions else { return .notApplicable("no pooler") }
                switch sessions {
                case .failure(let problem): return .notApplicable("\(problem)")
                case .success(let all):
                    let past = all.filter { !$0.isPooler }
                    return listed(past.map(shown), good: "\(all.count) sessions, all of them the pooler's")
                }
            }),
        DeployedCheck(
            name: "keyspace-crossed", title: "The application asks the keyspace", why: "A cache that nobody asks has a hit rate of 0 %.",
            fix: "Give the application the keyspace's address: REDIS_URL=redis://HOST:6379/0",
            // The process' own probe is AUTH, PING and ROLE every five seconds, and may fall into a visit twice.
            judge: { crossed($0, isThere: $0.keyspaceBytes != nil, "no keyspace", "commands", of: \.commands, ownMax: 6) }),
        DeployedCheck(
            name: "hit-rate", title: "The response cache answers most of what it is asked", why: "60 to 80 % is what a site of pages for everybody reaches.",
            fix: "Let the pages that take the time be stored: Cache-Control: public, max-age=10, no Set-Cookie; ignore what does not count: edge.cache.key.ignore_query.",
            judge: { evidence in
                guard let latest = evidence.latest else { return .notApplicable("the dashboard could not be read") }
                let hits = ["cache_hits", "cache_served_stale", "cache_revalidated", "cache_coalesced"].reduce(0) { $0 + latest.total($1) }
                let all = hits + latest.total("cache_misses") + latest.total("cache_stale")
                let outcome = share(hits, of: all, "lookups")
                guard case .problem(let lines) = outcome else { return outcome }
                let worst = (latest.paths ?? []).filter { $0.hint != nil }.sorted { $0.seconds * (1 - $0.hitShare) > $1.seconds * (1 - $1.hitShare) }
                return .problem(lines + worst.prefix(shownMax).map { "\($0.pattern): \(Int($0.requests)) requests, \($0.hint ?? "")" })
            }),
        DeployedCheck(
            name: "keyspace-hit-rate", title: "The keyspace has most of what it is asked for", why: "What is not there is computed anew.",
            fix: "Longer lifetimes, more memory (keyspace.maxmemory), or headrace warm before the traffic comes.",
            judge: { evidence in
                guard evidence.keyspaceBytes != nil, let latest = evidence.latest else { return .notApplicable("no keyspace") }
                return share(latest.total("keyspace_hits"), of: latest.total("keyspace_hits") + latest.total("keyspace_misses"), "lookups")
            }),
        DeployedCheck(
            name: "certificates", title: "The certificates last", why: "On the day one ends, nobody comes in.",
            fix: "Renew it, let something renew it by itself, and send SIGHUP behind it.",
            judge: { evidence in
                guard !evidence.certificates.isEmpty else { return .notApplicable("no TLS") }
                let short = evidence.certificates.filter { $0.days < SiteChecks.certificateDaysMin }
                return listed(short.map { "\($0.file): \(Int($0.days)) days left" }, good: "\(Int(evidence.certificates.map(\.days).min() ?? 0)) days left")
            }),
        DeployedCheck(
            name: "application-door", title: "The application is reached through the edge alone", why: "Who finds its own port has no cache, no limits and no TLS before him.",
            fix: "Let it listen on 127.0.0.1, or close its port in the firewall.",
            judge: { evidence in
                guard evidence.hasApplicationOnThisMachine else { return .notApplicable("the application is not on this machine") }
                return listed(evidence.applicationDoors.map { "\($0) answers from outside" }, good: "its port is closed to others")
            }),
        DeployedCheck(
            name: "postgresql-door", title: "PostgreSQL is closed to others", why: "It has everything.",
            fix: "listen_addresses = 'localhost', or hostssl lines with scram-sha-256 in pg_hba.conf.", judge: { doors($0.postgresDoors, "no PostgreSQL on this machine") }),
        DeployedCheck(
            name: "pooler-door", title: "The pooler is closed to others", why: "Who comes in there is in PostgreSQL.",
            fix: "pooler.listen on 127.0.0.1; or pooler.auth.method: scram-sha-256 and pooler.tls.clients: require.", judge: { doors($0.poolerDoors, "no pooler") }),
        DeployedCheck(
            name: "keyspace-door", title: "The keyspace is closed to others", why: "Sessions and cached pages can be read and replaced there.",
            fix: "keyspace.listen: 127.0.0.1:6379; for others keyspace.tls.listen with keyspace.password or client_certificates: required.", judge: { doors($0.keyspaceDoors, "no keyspace") }),
        DeployedCheck(
            name: "database-clock", title: "The database's clock is ours", why: "Lifetimes that one writes and the other reads are off by the difference.", fix: "Run an NTP client on both.",
            judge: { evidence in
                guard let ahead = evidence.databaseClockAhead else { return .notApplicable("it could not be asked") }
                let limit = Double(SiteChecks.clockSecondsMax)
                return abs(ahead) <= limit ? .good("within \(Int(limit)) s") : .problem(["\(Int(abs(ahead))) s \(ahead > 0 ? "ahead of" : "behind") this machine's"])
            }),
        DeployedCheck(
            name: "descriptors", title: "The process may open as many files as it needs", why: "At the limit connections are refused, while the processor has nothing to do.",
            fix: "LimitNOFILE=65536 in the unit, ulimit -n 65536 before the start; or lower edge.limits.connections, pooler.limits.client_connections, keyspace.clients.",
            judge: { evidence in
                guard let files = evidence.process?.openFilesMax else { return .notApplicable("the process cannot be seen: run this on its machine, as its user or root") }
                return files >= evidence.descriptorsWanted
                    ? .good("\(files), of which the configuration may take \(evidence.descriptorsWanted)")
                    : .problem(["\(files), and the limits of the configuration add up to \(evidence.descriptorsWanted)"])
            }),
        DeployedCheck(
            name: "kernel", title: "The kernel lets connections come as fast as they do", why: "A short queue drops them in a burst; a narrow range of ports ends them at some 100 a second.",
            fix: "sysctl -w net.core.somaxconn=4096 net.ipv4.ip_local_port_range='10240 65535'",
            judge: { evidence in
                var lines: [String] = []
                if let backlog = evidence.kernel["net.core.somaxconn"]?.first, backlog < backlogMin { lines.append("net.core.somaxconn is \(backlog)") }
                if let range = evidence.kernel["net.ipv4.ip_local_port_range"], range.count == 2, range[1] - range[0] < portsMin {
                    lines.append("net.ipv4.ip_local_port_range has \(range[1] - range[0] + 1) ports")
                }
                guard !evidence.kernel.isEmpty else { return .notApplicable("/proc/sys cannot be read") }
                return listed(lines, good: "somaxconn and the range of ports suffice")
            }),
        DeployedCheck(
            name: "memory", title: "What may be kept fits into memory", why: "Beyond it the kernel ends the process, and every layer with it.",
            fix: "edge.cache.size and keyspace.maxmemory together below four fifths of the memory.",
            judge: { evidence in
                guard let memory = evidence.memoryBytes else { return .notApplicable("the machine does not say how much it has") }
                if evidence.keyspaceBytes == 0 { return .problem(["keyspace.maxmemory is 0: it has no bound, and the machine has \(SizeText.render(memory))"]) }
                let wanted = (evidence.cacheBytes ?? 0) + (evidence.keyspaceBytes ?? 0)
                let text = "\(SizeText.render(wanted)) of \(SizeText.render(memory))"
                return Double(wanted) <= memoryShareMax * Double(memory) ? .good(text) : .problem([text])
            }),
    ]

    private static func listed(_ lines: [String], good: String) -> SiteCheck.Outcome {
        guard !lines.isEmpty else { return .good(good) }
        return .problem(Array(lines.prefix(shownMax)) + (lines.count > shownMax ? ["and \(lines.count - shownMax) more"] : []))
    }

    private static func shown(_ session: DeployedEvidence.Session) -> String {
        let application = session.application.isEmpty ? "no application_name" : "\"\(session.application)\""
        return "\(session.user)@\(session.database) from \(session.address), \(application), process \(session.process) of PostgreSQL"
    }

    private static func doors(_ doors: [DeployedEvidence.Door], _ none: String) -> SiteCheck.Outcome {
        guard !doors.isEmpty else { return .notApplicable(none) }
        let lines = doors.compactMap { door -> String? in
            switch door.access {
            case .closed: nil
            case .withoutPassword: "\(door.address): whoever connects is in, without a password"
            case .unencrypted: "\(door.address): asks for a password on a line that is not encrypted"
            }
        }
        return listed(lines, good: "\(doors.count) address\(doors.count == 1 ? "" : "es") tried")
    }

    private static func share(_ part: Double, of whole: Double, _ what: String) -> SiteCheck.Outcome {
        guard whole >= lookupsMin else { return .notApplicable("\(Int(whole)) \(what) so far, too few to say") }
        let percent = Int((part / whole * 100).rounded())
        return part >= hitShareMin * whole ? .good("\(percent) % of \(Int(whole)) \(what)") : .problem(["\(percent) % of \(Int(whole)) \(what); 60 to 80 % is the aim"])
    }

    /// Whether marked requests that reached the application made it use a layer.
    private static func crossed(
        _ evidence: DeployedEvidence, isThere: Bool, _ none: String, _ what: String, of place: KeyPath<DeployedEvidence.Crossing, Double>, ownMax: Double
    ) -> SiteCheck.Outcome {
        guard isThere else { return .notApplicable(none) }
        guard let crossing = evidence.crossing else { return .notApplicable("no marked requests were sent: that needs prove.secret and the dashboard") }
        guard crossing.upstream >= busyRequestsMin / 2 else { return .notApplicable("the marked requests did not reach the application") }
        let count = crossing[keyPath: place]
        return count > ownMax
            ? .good("\(Int(count)) \(what) while \(crossing.requests) marked requests reached the application")
            : .problem(["not one of its \(what) came of \(crossing.requests) marked requests that reached the application"])
    }
}
