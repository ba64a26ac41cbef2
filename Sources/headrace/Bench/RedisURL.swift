import Foundation
import LoadGenerator
import Transport

/// Where a keyspace is: `redis://[[user]:password@]host[:port][/database]`.
/// - Source: the registration of the scheme `redis` with IANA.
struct RedisURL: Sendable, Equatable {
    var endpoint: SocketEndpoint
    var login: KeyspaceLogin

    static let scheme = "redis://"
    static let port = 6379
    /// As `SELECT` takes them by default; a server that has more refuses by itself what it does not have.
    static let databaseMax = 1 << 20

    init(_ text: String) throws(ValueProblem) {
        guard text.hasPrefix(Self.scheme) else { throw ValueProblem("\"\(text)\" is no address such as redis://127.0.0.1:6379/0") }
        var rest = text.dropFirst(Self.scheme.count)
        login = KeyspaceLogin()
        if let slash = rest.firstIndex(of: "/") {
            let number = rest[slash...].dropFirst()
            guard number.isEmpty || Int(number).map({ (0...Self.databaseMax).contains($0) }) == true else {
                throw ValueProblem("\"\(number)\" is no number of a database, such as redis://127.0.0.1:6379/0 has")
            }
            login.database = Int(number) ?? 0
            rest = rest[..<slash]
        }
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            login.user = parts[0].isEmpty ? nil : String(parts[0]).removingPercentEncoding
            login.password = parts.count > 1 ? String(parts[1]).removingPercentEncoding : nil
            rest = rest[at...].dropFirst()
        }
        let isWithPort = rest.hasPrefix("[") ? rest.contains("]:") : rest.contains(":")
        endpoint = try AddressText.parse(isWithPort ? String(rest) : "\(rest.isEmpty ? "127.0.0.1" : rest):\(Self.port)")
    }

    /// An address without the password that may be in it: for tables and documents, which people pass on.
    static func withoutPassword(_ text: String) -> String {
        guard let start = text.firstRange(of: "://")?.upperBound, let at = text[start...].prefix(while: { $0 != "/" }).lastIndex(of: "@"),
            let colon = text[start..<at].firstIndex(of: ":")
        else { return text }
        return text[..<colon] + ":***" + text[at...]
    }
}
