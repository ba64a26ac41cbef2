import Foundation
import LoadGenerator
import RESPWire
import Telemetry

/// One scheduled measurement at a time among all instances that know the same keyspace, Redis or Valkey: the key is set by who has none
/// before him, for a while, and renewed while the run lasts. Who dies holds it no longer than ``lifetime``. Blocks; one thread at a time.
///
/// It keeps measurements from disturbing each other, and nothing more: a server that fails over may give it twice, and then two runs are
/// two runs.
/// - Source: redis.io, SET, "Patterns": NX, PX, a value that nobody else has, and removal by comparison.
///
/// Sendable although it holds a connection: whoever shares it calls it on one thread alone, one call after the other.
final class ScheduleLock: @unchecked Sendable {
    enum Outcome: Sendable, Equatable {
        case held
        /// Another instance has it; the text says who, as it has said itself.
        case taken(String)
        /// Nobody can say.
        case unknown(String)
    }

    static let key = "headrace:schedule"
    /// A renewal that is lost has two more.
    static let lifetime = 30
    static let renewalSeconds: Int64 = 10
    private static let seconds = 2

    private let url: RedisURL
    private let token: String
    private var connection: KeyspaceConnection?

    /// - Parameter password: if it is not in the address.
    init(_ url: RedisURL, password: String?) {
        var url = url
        if let password { url.login.password = password }
        self.url = url
        token = "\(ProcessInfo.processInfo.hostName) process \(ProcessInfo.processInfo.processIdentifier) \(String(UInt64.random(in: .min ... .max), radix: 16))"
    }

    /// Takes it, if nobody has it.
    func take() -> Outcome {
        do {
            switch try ask([["SET", Self.key, token, "NX", "PX", "\(Self.lifetime * 1000)"]]) {
            case .simple: return .held
            case .error(let text): return .unknown("\(url.endpoint): \(String(decoding: text.prefix(200), as: UTF8.self))")
            default: break
            }
            guard case .bulk(let holder) = try ask([["GET", Self.key]]) else { return .taken("another instance") }
            // An answer was lost on its way, and it was asked once more.
            if holder.elementsEqual(token.utf8) { return .held }
            // Without the random number.
            return .taken(String(decoding: holder.prefix(200), as: UTF8.self).split(separator: " ").dropLast().joined(separator: " "))
        } catch {
            return .unknown("\(error)")
        }
    }

    private static let renewal = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) else return 0 end"
    private static let removal = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) else return 0 end"

    /// - Returns: `held`, or that it was lost; `unknown` while the server cannot be asked.
    func renew() -> Outcome {
        do {
            switch try ask([["EVAL", Self.renewal, "1", Self.key, token, "\(Self.lifetime * 1000)"]]) {
            case .integer(1): return .held
            case .error(let text): return .unknown(String(decoding: text.prefix(200), as: UTF8.self))
            default: return .taken("it ran out")
            }
        } catch {
            return .unknown("\(error)")
        }
    }

    /// Gives it back, if it still is this one's.
    func release() {
        _ = try? ask([["EVAL", Self.removal, "1", Self.key, token]])
        connection = nil
    }

    /// Asks once more on a new connection when the kept one is gone.
    private func ask(_ request: [[String]]) throws -> RESPReply? {
        let bytes = request.map { $0.map { Array($0.utf8) } }
        if let connection, let replies = try? connection.replies(to: bytes) { return replies.first }
        connection = nil
        let fresh = try KeyspaceConnection(url.endpoint, url.login, seconds: Self.seconds)
        connection = fresh
        return try fresh.replies(to: bytes).first
    }
}
