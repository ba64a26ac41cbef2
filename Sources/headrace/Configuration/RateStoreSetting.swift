import Edge
import Keyspace
import Transport

/// Where rate limits keep their buckets.
enum RateStoreSetting: Sendable, Equatable {
    /// Each process its own.
    case off
    /// In the keyspace of the same configuration.
    case keyspace
    /// - Parameter text: as it was written.
    case address(RateStore, text: String)

    /// - Returns: `nil` when there is none, or none whose address is known.
    func resolved(_ keyspace: KeyspaceConfiguration, password: String?) -> RateStore? {
        switch self {
        case .off: return nil
        case .keyspace:
            let password = keyspace.password.isEmpty ? nil : keyspace.password
            for endpoint in keyspace.listen {
                switch endpoint {
                case .tcp(_, 0): continue
                case .tcp(let host, let port):
                    // An address that stands for all of them is no address to connect to.
                    let reachable = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host
                    return RateStore(.tcp(host: reachable, port: port), password: password)
                case .unix: return RateStore(endpoint, password: password)
                }
            }
            return nil
        case .address(var store, _):
            store.password = password
            return store
        }
    }
}

extension ValueFormat where Value == RateStoreSetting {
    static var rateStore: Self {
        Self(
            "store", units: "off, keyspace, redis://[USER@]HOST[:PORT][/DATABASE], unix:/PATH",
            parse: { word in
                switch word {
                case "off": return .off
                case "keyspace": return .keyspace
                case let path where path.hasPrefix("unix:/"): return .address(RateStore(try AddressText.parse(path)), text: path)
                default:
                    guard word.hasPrefix(RedisURL.scheme) else {
                        throw ValueProblem("\"\(word)\" is none of off, keyspace, nor an address such as redis://127.0.0.1:6379/0")
                    }
                    let url = try RedisURL(word)
                    guard url.login.password == nil else { throw ValueProblem("has a password in it, which belongs to edge.limits.rate_store_password") }
                    return .address(RateStore(url.endpoint, user: url.login.user, database: url.login.database), text: word)
                }
            },
            render: { setting in
                switch setting {
                case .off: "off"
                case .keyspace: "keyspace"
                case .address(_, let text): text
                }
            })
    }
}
