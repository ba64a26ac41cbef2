import Foundation
import RESPWire
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import Keyspace

/// Clients on threads of their own, all at the keys of several shards: is there one order of their commands that explains every reply?
///
/// How it works:
/// 1. One seed makes the commands of four clients. They begin together; each notes the moments at which its command began and ended, as numbers
///    of one counter.
/// 2. ``History/isLinearizable`` looks for an order in which a single-threaded model gives the same replies, where a command that ended
///    before another began comes before it: the search of Wing and Gong, with Lowe's memory of the places where it has been.
/// 3. MULTI/EXEC, a script and commands on several keys are one step of the model each: whoever saw half of one would have no order.
/// 4. The threads make the interleaving, and so a seed makes the commands and not the finding; a failure prints its whole history.
@Suite struct LinearizabilityTests {
    // MARK: The model

    /// What is asked, and what a store of strings makes of it.
    private enum Operation {
        case one([String])
        /// Within MULTI and EXEC.
        case together([[String]])

        func apply(to state: inout [String: String]) -> String {
            switch self {
            case .one(let words): return Self.reply(words, &state)
            case .together(let commands): return "*\(commands.count)|" + commands.map { Self.reply($0, &state) }.joined()
            }
        }

        private static func bulk(_ value: String?) -> String { value.map { "$\($0.utf8.count)|\($0)|" } ?? "$-1|" }

        private static func reply(_ words: [String], _ state: inout [String: String]) -> String {
            switch words[0] {
            case "GET": return bulk(state[words[1]])
            case "SET":
                state[words[1]] = words[2]
                return "+OK|"
            case "SETNX":
                guard state[words[1]] == nil else { return ":0|" }
                state[words[1]] = words[2]
                return ":1|"
            case "GETSET":
                defer { state[words[1]] = words[2] }
                return bulk(state[words[1]])
            case "GETDEL":
                defer { state[words[1]] = nil }
                return bulk(state[words[1]])
            case "INCR":
                // Not `01`, as APPEND leaves it.
                guard let number = Int(state[words[1]] ?? "0"), "\(number)" == state[words[1]] ?? "0" else { return "-ERR value is not an integer or out of range|" }
                state[words[1]] = "\(number + 1)"
                return ":\(number + 1)|"
            case "APPEND":
                state[words[1], default: ""] += words[2]
                return ":\(state[words[1], default: ""].utf8.count)|"
            case "MSET":
                for index in stride(from: 1, to: words.count, by: 2) { state[words[index]] = words[index + 1] }
                return "+OK|"
            case "MGET": return "*\(words.count - 1)|" + words.dropFirst().map { bulk(state[$0]) }.joined()
            case "DEL":
                let count = words.dropFirst().count { state.removeValue(forKey: $0) != nil }
                return ":\(count)|"
            case "RENAME":
                guard let value = state.removeValue(forKey: words[1]) else { return "-ERR no such key|" }
                state[words[2]] = value
                return "+OK|"
            case "EVAL":
                // Exchanges two.
                let (first, second) = (state[words[3]], state[words[4]])
                state[words[3]] = second ?? "none"
                state[words[4]] = first ?? "none"
                return bulk(first)
            default: preconditionFailure("\(words[0]) is not in the model")
            }
        }
    }

    private static let exchange =
        "local a, b = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]); redis.call('SET', KEYS[1], b or 'none'); redis.call('SET', KEYS[2], a or 'none'); return a"

    // MARK: The check

    private struct Event {
        var client: Int
        var operation: Operation
        var began: Int
        var ended: Int
        var reply: String
    }

    private struct History: CustomStringConvertible {
        var events: [Event]

        private struct Place: Hashable {
            var done: UInt64
            var state: [String: String]
        }

        /// At most 64 events, one bit each.
        var isLinearizable: Bool {
            precondition(events.count <= 64)
            var seen: Set<Place> = []
            return search(Place(done: 0, state: [:]), &seen)
        }

        private func search(_ place: Place, _ seen: inout Set<Place>) -> Bool {
            let rest = events.indices.filter { place.done & 1 << UInt64($0) == 0 }
            guard let firstEnd = rest.map({ events[$0].ended }).min() else { return true }
            guard seen.insert(place).inserted else { return false }
            // Whoever began after another's end comes after it.
            for index in rest where events[index].began < firstEnd {
                var next = Place(done: place.done | 1 << UInt64(index), state: place.state)
                if events[index].operation.apply(to: &next.state) == events[index].reply, search(next, &seen) { return true }
            }
            return false
        }

        var description: String {
            events.sorted { $0.began < $1.began }.map { "\($0.began)–\($0.ended) client \($0.client): \($0.operation) → \($0.reply)" }.joined(separator: "\n")
        }
    }

    // MARK: The clients

    /// Runs on as many threads as there are clients, which begin together.
    private static func race(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
        let gate = Gate(count)
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for index in 0..<count {
                Thread.detachNewThread {
                    gate.arrive()
                    body(index)
                    if gate.leave() { continuation.resume() }
                }
            }
        }
    }

    private final class Gate: Sendable {
        private let count: Int
        private let arrived = Atomic<Int>(0)
        private let left = Atomic<Int>(0)

        init(_ count: Int) {
            self.count = count
        }

        func arrive() {
            arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
            while arrived.load(ordering: .sequentiallyConsistent) < count { sched_yield() }
        }

        /// - Returns: whether it was the last.
        func leave() -> Bool { left.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue == count }
    }

    private final class Clock: Sendable {
        private let moments = Atomic<Int>(0)
        func next() -> Int { moments.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue }
    }

    private struct Client {
        let call: Call

        init(_ keyspace: Keyspace, _ id: Int) {
            let port = Conversation.Ports()
            let record = ClientRecord(id: id, address: "", localAddress: "", created: 0, port: port)
            call = Call(
                keyspace: keyspace, session: ClientSession(id: id, record: record, user: keyspace.access.standard, isAuthenticated: true),
                counters: CallCounters(), outputCapacity: 64)
            keyspace.clients.add(record)
        }

        func say(_ words: [String]) -> String {
            call.now = 1_000_000
            call.out.clear()
            Call.withPointers(words.map { Array($0.utf8) }) { pointers in
                call.arguments = pointers
                Dispatcher.execute(call)
            }
            return String(decoding: call.out.bytes, as: UTF8.self).replacing("\r\n", with: "|")
        }

        func run(_ operation: Operation) -> String {
            switch operation {
            case .one(let words): return say(words)
            case .together(let commands):
                _ = say(["MULTI"])
                for command in commands { _ = say(command) }
                return say(["EXEC"])
            }
        }
    }

    private static func operation(_ keys: [String], isWide: Bool, _ random: inout SeededRandom) -> Operation {
        func single() -> [String] {
            let key = random.pick(keys)
            switch Int.random(in: 0..<9, using: &random) {
            case 0, 1: return ["GET", key]
            case 2: return ["SET", key, "\(Int.random(in: 0..<5, using: &random))"]
            case 3: return ["SETNX", key, "9"]
            case 4: return ["GETSET", key, "\(Int.random(in: 5..<9, using: &random))"]
            case 5: return ["GETDEL", key]
            case 6: return ["APPEND", key, "1"]
            default: return ["INCR", key]
            }
        }
        guard isWide else { return .one(single()) }
        switch Int.random(in: 0..<8, using: &random) {
        case 0, 1: return .one(["MGET"] + keys)
        case 2: return .one(["MSET"] + keys.flatMap { [$0, "\(Int.random(in: 0..<100, using: &random))"] })
        case 3: return .one(["DEL"] + keys)
        case 4: return .one(["RENAME", keys[0], keys[1]])
        case 5: return .one(["EVAL", exchange, "2", keys[0], keys[1]])
        case 6: return .together([single(), single(), ["MGET"] + keys])
        default: return .one(single())
        }
    }

    private static func record(_ seed: UInt64, clients: Int, count: Int, isWide: Bool) async -> History {
        let keyspace = Keyspace(KeyspaceConfiguration())
        let keys = ["a", "b", "c"]
        let clock = Clock()
        let events = Lock<[Event]>([])
        await race(clients) { index in
            var random = SeededRandom(seed: seed &* 100 &+ UInt64(index))
            let client = Client(keyspace, index + 1)
            var mine: [Event] = []
            for _ in 0..<count {
                let operation = operation(keys, isWide: isWide, &random)
                let began = clock.next()
                let reply = client.run(operation)
                mine.append(Event(client: index, operation: operation, began: began, ended: clock.next(), reply: reply))
            }
            events.withLock { $0 += mine }
        }
        return History(events: events.withLock { $0 })
    }

    // MARK: The claims

    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    @Test(arguments: [false, true]) func `the replies of concurrent clients have an order`(isWide: Bool) async {
        var overlapping = 0
        for seed in 1...(Self.isLong ? 5000 : 150) as ClosedRange<UInt64> {
            let history = await Self.record(seed, clients: 4, count: 12, isWide: isWide)
            #expect(history.isLinearizable, "seed \(seed):\n\(history)")
            overlapping += history.events.count { event in history.events.contains { $0.client != event.client && $0.began < event.ended && event.began < $0.ended } }
        }
        // Commands were under way together, or nothing was shown.
        #expect(overlapping > 100, "\(overlapping)")
    }

    @Test func `a history without an order is found out`() {
        func event(_ client: Int, _ words: [String], _ began: Int, _ ended: Int, _ reply: String) -> Event {
            Event(client: client, operation: .one(words), began: began, ended: ended, reply: reply)
        }
        let set = event(0, ["SET", "a", "1"], 1, 2, "+OK|")
        #expect(History(events: [set, event(1, ["GET", "a"], 3, 4, "$1|1|")]).isLinearizable)
        #expect(!History(events: [set, event(1, ["GET", "a"], 3, 4, "$-1|")]).isLinearizable, "a read of what was before")
        #expect(History(events: [event(0, ["SET", "a", "1"], 1, 4, "+OK|"), event(1, ["GET", "a"], 2, 3, "$-1|")]).isLinearizable)
        let both = event(0, ["MSET", "a", "1", "b", "1"], 1, 10, "+OK|")
        #expect(!History(events: [both, event(1, ["MGET", "a", "b"], 2, 9, "*2|$1|1|$-1|")]).isLinearizable, "half of a write")
        #expect(!History(events: [event(0, ["INCR", "a"], 1, 4, ":1|"), event(1, ["INCR", "a"], 2, 3, ":1|")]).isLinearizable, "a lost update")
        #expect(
            !History(events: [both, event(1, ["GET", "a"], 2, 3, "$1|1|"), event(1, ["GET", "b"], 4, 5, "$-1|")]).isLinearizable,
            "what was seen goes away")
    }

    @Test func `transfers within MULTI lose nothing, and nobody sees one half done`() async {
        let keyspace = Keyspace(KeyspaceConfiguration())
        let accounts = (0..<8).map { "account:\($0)" }
        _ = Client(keyspace, 100).say(["MSET"] + accounts.flatMap { [$0, "100"] })
        let wrong = Lock<[String]>([])
        await Self.race(4) { index in
            var random = SeededRandom(seed: UInt64(index) + 1)
            let client = Client(keyspace, index + 1)
            for _ in 0..<500 {
                if index < 2 {
                    let amount = "\(Int.random(in: 1...50, using: &random))"
                    _ = client.run(.together([["DECRBY", random.pick(accounts), amount], ["INCRBY", random.pick(accounts), amount]]))
                } else {
                    let reply = index == 2 ? client.say(["MGET"] + accounts) : client.run(.together(accounts.map { ["GET", $0] }))
                    let values = reply.split(separator: "|").filter { !"*$".contains($0.prefix(1)) }.compactMap { Int($0) }
                    if values.count != 8 || values.reduce(0, +) != 800 { wrong.withLock { $0.append(reply) } }
                }
            }
        }
        #expect(wrong.withLock { $0 } == [])
    }

    @Test func `what was watched and changed meanwhile is not written`() async {
        let keyspace = Keyspace(KeyspaceConfiguration())
        let refused = Atomic<Int>(0)
        await Self.race(4) { index in
            let client = Client(keyspace, index + 1)
            for _ in 0..<200 {
                while true {
                    _ = client.say(["WATCH", "counter"])
                    let value = client.say(["GET", "counter"]).split(separator: "|").last.flatMap { Int($0) } ?? 0
                    let next = client.run(.together([["SET", "counter", "\(max(value, 0) + 1)"]]))
                    if next != "*-1|" { break }
                    refused.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(Client(keyspace, 100).say(["GET", "counter"]) == "$3|800|", "with \(refused.load(ordering: .relaxed)) refused")
    }
}
