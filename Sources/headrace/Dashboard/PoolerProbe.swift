import Foundation
import Pooler
import Transport

/// A query through the pooler's own door, as its clients come: what PostgreSQL says past it says nothing of that.
enum PoolerProbe {
    struct Finding: Sendable, Equatable {
        /// In words; `nil` when nothing went wrong.
        var error: String?
        /// What is to be known beside that.
        var note: String?
    }

    private static let seconds = 2

    /// Waits for the network.
    /// - Parameters:
    ///   - applicationName: by which the pooler does not count it.
    ///   - isBusy: server connections are in use: an answer that does not come may be in the queue behind them, where clients are, too.
    /// - Returns: `nil` when nobody is known who could log in, or where to.
    static func ask(_ door: SocketEndpoint, as postgres: PostgresURL, password: String?, applicationName: String, isBusy: Bool) -> Finding? {
        guard let user = postgres.user, postgres.database != nil else { return nil }
        var url = postgres
        url.hosts = [door]
        do {
            let session = try BlockingPostgres(url, user: user, password: password, applicationName: applicationName, seconds: seconds)
            defer { session.sayGoodbye() }
            return try session.rows("SELECT 1", rowsMax: 1) == [["1"]] ? Finding() : Finding(error: "SELECT 1 through it is answered by something else")
        } catch let failure as BlockingPostgres.Failure where failure.isRefusedLogin {
            // Its clients have names and passwords of their own: that it asks for them is all that can be known.
            return Finding(note: "no query through it: it does not let pooler.postgres' user in")
        } catch {
            if isBusy, (error as? BlockingSocket.Failure)?.isTimeout == true { return Finding(note: "all server connections are busy") }
            return Finding(error: "SELECT 1 through it: \(error)")
        }
    }

    /// Whether who connects there from this machine has to say first for whom: this probe is for nobody.
    static func isProxy(_ door: SocketEndpoint, of pooler: PoolerConfiguration) -> Bool {
        if case .tcp(let host, _) = door { pooler.isProxy(host) } else { false }
    }

    /// Where a listener's clients on this machine connect.
    static func door(_ address: String?, _ port: Int?, path: String?) -> SocketEndpoint? {
        if let path { return .unix(path: path) }
        guard let address, let port else { return nil }
        return .tcp(host: host(address) ?? address, port: port)
    }

    /// An address that stands for all of them is none to connect to.
    static func host(_ address: String?) -> String? {
        address == "0.0.0.0" ? "127.0.0.1" : address == "::" ? "::1" : address
    }
}
