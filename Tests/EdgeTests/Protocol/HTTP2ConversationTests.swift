import HTTP2Wire
import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import Edge

/// Our client and our server talk to each other.
///
/// How it works:
/// 1. One seed makes a conversation: requests with and without bodies, responses of any size, streams that are given up by either side.
/// 2. What one side writes reaches the other in pieces of any size, and either side takes its time to take what has come.
/// 3. After each step the client's invariants hold. At the end every exchange that nobody gave up is whole on both sides: the bytes are
///    numbered, and counted.
@Suite struct HTTP2ConversationTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private struct World {
        var random: SeededRandom
        var client = HTTP2ClientConnection(streamsMax: 8, now: start)
        var server = HTTP2ServerConnection(limits: .init(), now: start)
        var now = start
        var toServer = ByteBuffer()
        var toClient = ByteBuffer()
        /// What the other side's machine has been given and not understood.
        var atServer = ByteBuffer()
        var atClient = ByteBuffer()
        var queue = HTTP2SendQueue()
        var wanted: [UInt32: (request: Int, response: Int)] = [:]
        var requested: [UInt32: Int] = [:]
        var responded: [UInt32: Int] = [:]
        var given: Set<UInt32> = []
        var complete: Set<UInt32> = []
        var begun = 0

        init(seed: UInt64) { random = SeededRandom(seed: seed) }

        mutating func number(_ bound: Int) -> Int { Int(random.next() % UInt64(max(1, bound))) }

        mutating func begin() {
            guard begun < 40 else { return }
            let request = number(3) == 0 ? number(200_000) : 0
            guard let stream = client.open(request > 0 ? .post : .get) else { return }
            begun += 1
            wanted[stream.id] = (request, number(4) == 0 ? number(400_000) : number(2000))
            var control = ByteBuffer()
            swap(&control, &client.control)
            let head = "\(request > 0 ? "POST" : "GET") /\(stream.id) HTTP/1.1\r\nHost: a\r\n\(request > 0 ? "Content-Length: \(request)\r\n" : "")\r\n"
            client.writeHead(ByteBuffer(string: head), isSecure: false, of: stream, endsStream: request == 0, into: &control)
            swap(&control, &client.control)
            guard request > 0 else { return }
            client.bodyMade(ByteBuffer(repeating: 1, count: request), of: stream)
            client.requestMade(stream, trailers: nil)
        }

        /// Bytes that come over in one go.
        mutating func pieceBytes() -> Int { number(4) == 0 ? number(20) : number(40_000) }

        static func move(_ count: Int, _ from: inout ByteBuffer, _ to: inout ByteBuffer) {
            if var part = from.readSlice(length: min(count, from.readableBytes)) { to.writeBuffer(&part) }
            from.discardReadBytes()
        }

        mutating func serverReads() throws {
            while true {
                switch server.next(&atServer, now: now) {
                case .wait: return
                case .head(let stream):
                    let count = wanted[stream.id]?.response ?? 0
                    let head = "HTTP/1.1 200 OK\r\n\(number(2) == 0 ? "Content-Length: \(count)\r\n" : "")\r\n"
                    server.writeHead(ByteBuffer(string: head), of: stream, endsStream: false, into: &toClient)
                    stream.append(ByteBuffer(repeating: 2, count: count))
                    stream.complete()
                    queue.add(stream)
                case .body(let stream, let part):
                    requested[stream.id, default: 0] += part.readableBytes
                    server.bodyTaken(part.readableBytes, of: stream)
                case .reset(let stream): given.insert(stream.id)
                case .windowOpened(let stream?): queue.add(stream)
                case .windowOpened(nil): for stream in server.streams { queue.add(stream) }
                case .failed(let code, _): throw Broken(what: "the server ends it: \(code.word)")
                case .refused, .trailers, .prioritised, .handled, .goAway: break
                }
            }
        }

        mutating func serverWrites() {
            toClient.writeImmutableBuffer(server.control)
            server.control.clear()
            for _ in 0..<number(6) {
                guard let stream = queue.next() else { return }
                guard server.writeNext(of: stream, into: &toClient) else { return queue.putBack(stream) }
                // What has not come of the request is awaited here, so that it can be counted.
                if stream.isResponseEnded, stream.isRequestEnded { server.finish(stream) } else { queue.putBack(stream) }
            }
        }

        mutating func clientReads() throws {
            while true {
                switch client.next(&atClient, now: now) {
                case .wait: return
                case .head(let stream): if stream.isResponseEnded { ended(stream) }
                case .body(let stream, let part):
                    responded[stream.id, default: 0] += part.readableBytes
                    if number(3) > 0 || stream.heldBytes > 0 { stream.hold(part) } else { client.bodyTaken(part.readableBytes, of: stream) }
                    if stream.isResponseEnded, stream.heldBytes == 0 { ended(stream) }
                case .ended(let stream, let end): throw Broken(what: "stream \(stream.id) ends: \(end)")
                case .failed(let code, _): throw Broken(what: "the client ends it: \(code.word)")
                case .established, .interim, .trailers, .windowOpened, .limitChanged, .handled, .leaving: break
                }
                client.checkInvariants()
            }
        }

        mutating func clientTakes() {
            for stream in client.streams where number(3) > 0 {
                if let part = stream.takeHeld() { client.bodyTaken(part.readableBytes, of: stream) }
                if stream.isResponseEnded, stream.heldBytes == 0 { ended(stream) }
            }
        }

        private mutating func ended(_ stream: HTTP2ClientStream) {
            // What was not sent of its request may be: only then it counts.
            guard stream.isRequestEnded else { return }
            complete.insert(stream.id)
            client.finish(stream)
        }

        mutating func givesUp() {
            guard number(60) == 0, let stream = client.streams.randomElement(using: &random) else { return }
            given.insert(stream.id)
            client.reset(stream, .cancel)
        }

        mutating func step() throws {
            now = now + .milliseconds(5)
            if number(3) == 0 { begin() }
            givesUp()
            toServer.writeImmutableBuffer(client.control)
            client.control.clear()
            let bytesMax = toServer.readableBytes + number(60_000)
            client.writeBodies(into: &toServer, bytesMax: bytesMax)
            _ = client.takeRelieved()
            let there = pieceBytes()
            Self.move(there, &toServer, &atServer)
            try serverReads()
            serverWrites()
            let back = pieceBytes()
            Self.move(back, &toClient, &atClient)
            try clientReads()
            clientTakes()
            client.checkInvariants()
        }
    }

    private struct Broken: Error, CustomStringConvertible {
        let what: String
        var description: String { what }
    }

    @Test(arguments: 0..<30 as Range<UInt64>) func `every exchange that nobody gives up is whole on both sides`(seed: UInt64) throws {
        var world = World(seed: seed)
        var steps = 0
        while steps < 20_000, world.begun < 40 || !world.client.streams.isEmpty {
            try world.step()
            steps += 1
        }
        // What is on its way still.
        let rest = world.toServer.readableBytes
        World.move(rest, &world.toServer, &world.atServer)
        try world.serverReads()
        #expect(world.begun == 40 && world.client.streams.isEmpty, "seed \(seed)")
        for (id, sizes) in world.wanted where !world.given.contains(id) {
            #expect(world.complete.contains(id) && world.responded[id] ?? 0 == sizes.response && world.requested[id] ?? 0 == sizes.request, "seed \(seed), stream \(id)")
        }
        #expect(world.complete.count > 20 && world.client.heldBytes == 0)
    }
}
