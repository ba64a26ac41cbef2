import Foundation
import Pooler

/// Where PostgreSQL is, as libpq writes it: `postgres://user:password@host:5432,other:5432/database`, each part but the host optional;
/// `?host=/run/postgresql` names the folder of a Unix socket, `?target_session_attrs=primary` which of the hosts is meant.
/// - Source: PostgreSQL 15, "Connection URIs".
struct PostgresURL: Sendable, Equatable {
    var hosts: [PoolerConfiguration.SocketEndpoint]
    var database: String?
    var user: String?
    var password: String?
    var target = TargetSession.any

    static let port = 5432

    init(_ text: String) throws(ValueProblem) {
        guard let scheme = ["postgres://", "postgresql://"].first(where: { text.hasPrefix($0) }) else {
            throw ValueProblem("\"\(text)\" is no address such as postgres://app@127.0.0.1:5432/shop")
        }
        var rest = text.dropFirst(scheme.count)[...]
        var query: [(name: String, value: String)] = []
        if let mark = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: mark)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                query.append((try Self.decoded(parts[0]), try Self.decoded(parts.count > 1 ? parts[1] : "")))
            }
            rest = rest[..<mark]
        }
        if let slash = rest.firstIndex(of: "/") {
            let name = try Self.decoded(rest[rest.index(after: slash)...])
            database = name.isEmpty ? nil : name
            rest = rest[..<slash]
        }
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = parts.isEmpty || parts[0].isEmpty ? nil : try Self.decoded(parts[0])
            if parts.count > 1 { password = try Self.decoded(parts[1]) }
            rest = rest[rest.index(after: at)...]
        }
        hosts = []
        for host in rest.split(separator: ",") {
            let isWithPort = host.hasPrefix("[") ? host.contains("]:") : host.contains(":")
            hosts.append(try AddressText.parse(isWithPort ? String(host) : "\(host):\(Self.port)"))
        }
        for (name, value) in query {
            switch name {
            case "host" where value.hasPrefix("/"): hosts.append(.unix(path: "\(value)/.s.PGSQL.\(Self.port)"))
            case "target_session_attrs":
                guard let target = TargetSession(rawValue: value) else {
                    throw ValueProblem("target_session_attrs=\(value) is none of \(TargetSession.allCases.map(\.rawValue).joined(separator: ", "))")
                }
                self.target = target
            case "sslmode" where ["disable", "allow", "prefer"].contains(value): break
            case "sslmode": throw ValueProblem("sslmode=\(value) cannot be kept here: the connection to the server is not encrypted")
            default: throw ValueProblem("\"\(name)\" in a PostgreSQL address is not known here")
            }
        }
        if hosts.isEmpty { hosts = [.tcp(host: "127.0.0.1", port: Self.port)] }
    }

    /// As it would be written, without the password.
    var text: String {
        let account = user.map { "\(Self.encoded($0))@" } ?? ""
        let names = hosts.compactMap { host in
            if case .tcp = host { return "\(host)" } else { return nil }
        }
        let folders = hosts.compactMap { host -> String? in
            guard case .unix(let path) = host, let slash = path.lastIndex(of: "/") else { return nil }
            return "host=\(path[..<slash])"
        }
        let options = folders + (target == .any ? [] : ["target_session_attrs=\(target.rawValue)"])
        let query = options.isEmpty ? "" : "?\(options.joined(separator: "&"))"
        return "postgres://\(account)\(names.joined(separator: ","))/\(database.map(Self.encoded) ?? "")\(query)"
    }

    /// The database that the pooler offers: the one that is named, or whichever a client asks for.
    func offered(password: String?) -> [String: PoolerConfiguration.Database] {
        let offer = PoolerConfiguration.Database(hosts: hosts, name: database, user: user, password: password ?? self.password, target: target)
        return [database ?? "*": offer]
    }

    private static func decoded(_ text: Substring) throws(ValueProblem) -> String {
        guard let decoded = text.removingPercentEncoding, !decoded.contains("\0") else {
            throw ValueProblem("\"\(text)\" is not percent-encoded as it should be")
        }
        return decoded
    }

    private static func encoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: "-._~"))) ?? text
    }
}
