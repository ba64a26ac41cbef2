import Foundation
import LoadGenerator
import NIOCore
import RESPWire
import Telemetry
import Transport

/// `PING` and `ROLE` by a connection of its own, as clients come: to the keyspace, or to what keeps the lock of scheduled measurements.
enum KeyspaceProbe {
    struct Finding: Sendable, Equatable {
        /// In words; `nil` when nothing went wrong.
        var error: String?
        /// What is to be known beside that: the role, or why it is not known.
        var note: String?
        /// The error is that the connection was made, and ended before any answer.
        var isClosedAtOnce = false
        /// What it says of itself, where it was asked for that.
        var server = Server()
    }

    /// What `INFO server` says.
    struct Server: Sendable, Equatable {
        var version: String?
        var upSeconds: Int64?

        init() {}

        /// - Source: redis.io, INFO: lines `field:value`. Valkey says its own version beside that of the Redis that it is compatible with.
        init(_ info: [UInt8]) {
            var fields: [Substring: Substring] = [:]
            let text = String(decoding: info, as: UTF8.self)
            for line in text.split(whereSeparator: \.isNewline) {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2 { fields[parts[0]] = parts[1].prefix(100) }
            }
            version = (fields["valkey_version"] ?? fields["redis_version"]).map { String($0) }
            upSeconds = fields["uptime_in_seconds"].flatMap { Int64($0) }.flatMap { (0..<1 << 40).contains($0) ? $0 : nil }
        }
    }

    /// For the connection, and then for all that is said on it; no wait in between is longer.
    private static let seconds = 2
    /// Of all replies together: a master's is so long with a thousand replicas.
    private static let replyBytesMax = 64 << 10

    /// Waits for the network.
    /// - Parameters:
    ///   - isToLead: it is to take writes: then another role than that of a master is an error.
    ///   - isAnother: it is another process, which is asked for its version and its age, too.
    static func ask(_ door: SocketEndpoint, _ login: KeyspaceLogin, isToLead: Bool = true, isAnother: Bool = false) -> Finding {
        let exchange: Exchange
        do { exchange = try Exchange(door) } catch { return Finding(error: "\(error)") }
        do {
            var finding = try ask(exchange, door, login, isToLead: isToLead)
            // Who may not ask for that does without.
            if isAnother, case .bulk(let info)? = try exchange.replies(to: [["INFO", "server"]]).first { finding.server = Server(info) }
            return finding
        } catch {
            let isSilent = (error as? BlockingSocket.Failure)?.isTimeout ?? false
            return Finding(error: "\(error)", isClosedAtOnce: !exchange.hasAnswered && !isSilent)
        }
    }

    private static func ask(_ exchange: Exchange, _ door: SocketEndpoint, _ login: KeyspaceLogin, isToLead: Bool) throws -> Finding {
        while true {
            var refusal: String?
            for case .error(let text) in try exchange.replies(to: login.commands + [["PING"]]) where refusal == nil {
                refusal = String(decoding: text.prefix(200), as: UTF8.self)
            }
            guard let words = refusal else { break }
            if isRefusedLogin(words) {
                // It answers; its clients have names and passwords that the configuration does not say.
                return Finding(note: "no PING by \(door): it does not let us in")
            }
            // While it loads, it answers, and takes nothing.
            guard words.hasPrefix("LOADING"), !exchange.isOver else { return Finding(error: "\(door): \(words)") }
            usleep(100_000)
        }
        guard let reply = try exchange.replies(to: [["ROLE"]]).first else { return Finding(error: "\(door): no answer to ROLE") }
        return finding(reply, door, isToLead: isToLead)
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

    private static func isRefusedLogin(_ words: String) -> Bool {
        ["NOAUTH", "WRONGPASS", "NOPERM"].contains { words.hasPrefix($0) }
    }

    private static func word(_ reply: RESPReply) -> String? {
        switch reply {
        case .bulk(let bytes): String(decoding: bytes.prefix(200), as: UTF8.self)
        case .integer(let number): String(number)
        default: nil
        }
    }

    /// Commands and their replies, within bounds of time and length: the thread that waits has more to do.
    private final class Exchange {
        struct Failure: Error, CustomStringConvertible {
            let description: String
        }

        private let door: SocketEndpoint
        private let socket: BlockingSocket
        private let end: UInt64
        private var input = ByteBuffer()
        private var parser = ReplyParser()
        private var receivedBytes = 0

        /// Connects.
        init(_ door: SocketEndpoint) throws {
            self.door = door
            socket = try BlockingSocket(door, seconds: KeyspaceProbe.seconds)
            end = MonotonicClock.nanoseconds() + UInt64(KeyspaceProbe.seconds) * 1_000_000_000
        }

        var hasAnswered: Bool { receivedBytes > 0 }
        var isOver: Bool { MonotonicClock.nanoseconds() >= end }

        /// - Returns: as many as requests.
        func replies(to requests: [[String]]) throws -> [RESPReply] {
            var writer = RESPWriter()
            for request in requests { writer.request(request.map { Array($0.utf8) }) }
            try socket.send(writer.bytes)
            var replies: [RESPReply] = []
            var hasWaited = false
            while replies.count < requests.count {
                if let (reply, count) = try input.withUnsafeReadableBytes({ try parser.next($0) }) {
                    input.moveReaderIndex(forwardBy: count)
                    replies.append(reply)
                    continue
                }
                // What comes whole and at once is an answer, however late it was asked for.
                guard !hasWaited || !isOver else { throw Failure(description: "\(door): no whole answer within \(KeyspaceProbe.seconds) s") }
                hasWaited = true
                input.discardReadBytes()
                let before = input.readableBytes
                guard try socket.receive(into: &input) else { throw Failure(description: "\(door) has closed the connection") }
                receivedBytes += input.readableBytes - before
                guard receivedBytes <= KeyspaceProbe.replyBytesMax else {
                    throw Failure(description: "\(door): its answer is over \(KeyspaceProbe.replyBytesMax >> 10) KB")
                }
            }
            return replies
        }
    }
}
