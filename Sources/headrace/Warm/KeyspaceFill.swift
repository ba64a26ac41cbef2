import Foundation
import LoadGenerator
import NIOCore
import RESPWire
import Telemetry
import Transport

/// Sets keys in a keyspace, Redis or Valkey, as fast as it takes them or as its rules allow. Blocks; belongs to one thread.
final class KeyspaceFill {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// What became of the keys.
    struct Outcome: Sendable {
        var stored = 0
        var there = 0
        var failed = 0
        /// Why keys failed, how often, and where that was first.
        var reasons: [String: (count: Int, example: String)] = [:]
        /// The first ``KeyspaceFill/failuresShownMax``, as they came.
        var failures: [(place: String, reason: String)] = []
        /// Why it could not go on; `nil` when it came to the end.
        var end: String?

        var count: Int { stored + there + failed }
    }

    /// More of the kind tell no more.
    static let failuresShownMax = 10
    /// Values that are under way at a time: a batch ends when it has so many bytes, whatever its count.
    private static let batchBytesMax = 1 << 20
    /// A keyspace that restarts is back by then: 100 ms, twice as long each time.
    private static let attemptsMax = 6

    private let endpoint: SocketEndpoint
    private let login: KeyspaceLogin
    private let rules: KeyFillRules
    private let seconds: Int
    /// `nil` after an error: replies that come late belong to what was sent before.
    private var connection: KeyspaceConnection?
    private var outcome = Outcome()

    /// Connects, logs in, and waits while the keyspace loads its own data.
    init(_ endpoint: SocketEndpoint, _ login: KeyspaceLogin, _ rules: KeyFillRules, seconds: Int) throws {
        self.endpoint = endpoint
        self.login = login
        self.rules = rules
        self.seconds = seconds
        connection = try KeyspaceConnection(endpoint, login, seconds: seconds)
    }

    /// - Parameters:
    ///   - countMax: of keys; what the source has beyond is left.
    ///   - failed: a key could not be set, and why.
    ///   - show: after each batch.
    func run(
        _ source: any KeySource, countMax: Int = .max, failed: (_ place: String, _ reason: String) -> Void, show: (Outcome) -> Void
    ) -> Outcome {
        let schedule = EvenSchedule(rate: rules.rate)
        var begun = 0
        var isAtEnd = false
        while !isAtEnd, outcome.end == nil {
            var batch: [(place: String, arguments: [[UInt8]])] = []
            var bytes = 0
            while batch.count < rules.concurrency, bytes < Self.batchBytesMax {
                let wait = schedule.wait(before: begun)
                if wait > 0 {
                    guard batch.isEmpty else { break }
                    usleep(UInt32(clamping: wait / 1000))
                }
                let next: SourcedKey?
                do {
                    next = begun < countMax ? try source.next() : nil
                } catch {
                    next = nil
                    outcome.end = "\(error)"
                }
                guard let next else {
                    isAtEnd = true
                    break
                }
                begun += 1
                do {
                    let arguments = try next.entry.get().arguments(
                        rules, random: .random(in: 0...1), now: Double(WallClock.nanoseconds()) / 1e9)
                    batch.append((next.place, arguments))
                    bytes += arguments.reduce(0) { $0 + $1.count }
                } catch {
                    fail(next.place, error.text, failed)
                }
            }
            if !batch.isEmpty { send(batch, failed) }
            show(outcome)
        }
        return outcome
    }

    private func send(_ batch: [(place: String, arguments: [[UInt8]])], _ failed: (String, String) -> Void) {
        do {
            let replies = try persistently(batch.map(\.arguments))
            for (sent, reply) in zip(batch, replies) {
                switch reply {
                case .simple: outcome.stored += 1
                case .error(let text): fail(sent.place, String(decoding: text, as: UTF8.self), failed)
                default: outcome.there += 1
                }
            }
        } catch {
            outcome.end = "\(batch[0].place) and what follows: \(error)"
        }
    }

    private func fail(_ place: String, _ reason: String, _ failed: (String, String) -> Void) {
        outcome.failed += 1
        outcome.reasons[reason, default: (0, place)].count += 1
        guard outcome.failures.count < Self.failuresShownMax else { return }
        outcome.failures.append((place, reason))
        failed(place, reason)
    }

    /// A connection that breaks is opened anew, and the whole batch sent again: setting a key twice sets it once.
    private func persistently(_ requests: [[[UInt8]]]) throws -> [RESPReply] {
        var pause: UInt32 = 100_000
        var attempt = 1
        while true {
            do {
                let connection = try self.connection ?? KeyspaceConnection(endpoint, login, seconds: seconds)
                self.connection = connection
                return try connection.replies(to: requests)
            } catch {
                connection = nil
                guard attempt < Self.attemptsMax else { throw error }
            }
            usleep(pause)
            pause *= 2
            attempt += 1
        }
    }
}

/// A connection to a keyspace: requests together, their replies together.
final class KeyspaceConnection {
    private let socket: BlockingSocket
    private let name: String
    private var input = ByteBuffer()
    private var parser = ReplyParser()

    /// - Throws: `KeyspaceFill.Failure` in the server's words when the login is refused.
    init(_ endpoint: SocketEndpoint, _ login: KeyspaceLogin, seconds: Int) throws {
        name = "\(endpoint)"
        socket = try BlockingSocket(endpoint, seconds: seconds)
        let commands = login.commands + [["PING"]]
        // While a server loads, it answers, and takes nothing: that is waited for as long as for an answer.
        let end = MonotonicClock.nanoseconds() + UInt64(seconds) * 1_000_000_000
        while true {
            var refusal: String?
            for case .error(let text) in try replies(to: commands.map { $0.map { Array($0.utf8) } }) where refusal == nil {
                refusal = String(decoding: text, as: UTF8.self)
            }
            guard let refusal else { return }
            guard refusal.hasPrefix("LOADING"), MonotonicClock.nanoseconds() < end else {
                throw KeyspaceFill.Failure(description: "\(name): \(refusal)")
            }
            usleep(100_000)
        }
    }

    /// - Returns: as many as requests.
    func replies(to requests: [[[UInt8]]]) throws -> [RESPReply] {
        var writer = RESPWriter()
        for request in requests { writer.request(request) }
        try socket.send(writer.bytes)
        var replies: [RESPReply] = []
        while replies.count < requests.count {
            if let (reply, count) = try input.withUnsafeReadableBytes({ try parser.next($0) }) {
                input.moveReaderIndex(forwardBy: count)
                replies.append(reply)
                continue
            }
            input.discardReadBytes()
            guard try socket.receive(into: &input) else { throw KeyspaceFill.Failure(description: "\(name) has closed the connection") }
        }
        return replies
    }
}
