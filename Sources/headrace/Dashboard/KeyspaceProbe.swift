import LoadGenerator
import RESPWire
import Transport

/// `PING` and `ROLE` by a connection of its own, as clients come: to the keyspace, or to what keeps the lock of scheduled measurements.
enum KeyspaceProbe {
    struct Finding: Sendable, Equatable {
        /// In words; `nil` when nothing went wrong.
        var error: String?
        /// What is to be known beside that: the role, or why it is not known.
        var note: String?
    }

    private static let seconds = 2

    /// Waits for the network.
    /// - Parameter isToLead: it is to take writes: then another role than that of a master is an error.
    static func ask(_ door: SocketEndpoint, _ login: KeyspaceLogin, isToLead: Bool = true) -> Finding {
        do {
            // Logs in, and then PING.
            let connection = try KeyspaceConnection(door, login, seconds: seconds)
            guard let reply = try connection.replies(to: [[Array("ROLE".utf8)]]).first else { return Finding(error: "\(door): no answer to ROLE") }
            return finding(reply, door, isToLead: isToLead)
        } catch let failure as KeyspaceFill.Failure where isRefusedLogin(failure, door) {
            // It answers; its clients have names and passwords that the configuration does not say.
            return Finding(note: "no PING by \(door): it does not let us in")
        } catch {
            return Finding(error: "\(error)")
        }
    }

    /// - Source: redis.io, ROLE: the name of the role comes first, then of a replica the master's host and port, and how the link is.
    static func finding(_ reply: RESPReply, _ door: SocketEndpoint, isToLead: Bool) -> Finding {
        if case .error(let text) = reply {
            let words = String(decoding: text.prefix(200), as: UTF8.self)
            return words.hasPrefix("NOPERM") ? Finding(note: "its role is not known: \(words)") : Finding(error: "\(door): \(words)")
        }
        guard case .array(let parts) = reply, case .bulk(let name)? = parts.first else { return Finding(error: "\(door): its answer to ROLE is none") }
        let role = String(decoding: name.prefix(200), as: UTF8.self)
        guard role != "master" else { return Finding(note: "master") }
        var words = role
        if role == "slave", parts.count > 3, let host = word(parts[1]), let state = word(parts[3]) {
            words = "a replica of \(host)\(word(parts[2]).map { ":\($0)" } ?? ""), \(state == "connected" ? "connected to it" : "without it (\(state))")"
        }
        return isToLead ? Finding(error: "\(door): it takes no writes: it is \(words), and a master is wanted") : Finding(note: words)
    }

    private static func isRefusedLogin(_ failure: KeyspaceFill.Failure, _ door: SocketEndpoint) -> Bool {
        ["NOAUTH", "WRONGPASS", "NOPERM"].contains { failure.description.hasPrefix("\(door): \($0)") }
    }

    private static func word(_ reply: RESPReply) -> String? {
        switch reply {
        case .bulk(let bytes): String(decoding: bytes.prefix(200), as: UTF8.self)
        case .integer(let number): String(number)
        default: nil
        }
    }
}
