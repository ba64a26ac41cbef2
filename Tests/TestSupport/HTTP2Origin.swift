import HTTP2Wire
import HTTPSemantics
import NIOCore
import NIOPosix
import Synchronization

/// An application that speaks HTTP/2 frame by frame, as a test tells it to: also what no decent library would send. Who comes with HTTP/1.1 is
/// answered `plain`.
package final class HTTP2Origin: Sendable {
    package typealias F = HTTP2Frames

    package enum Event: Sendable {
        case headers(UInt32, [(String, String)], endsStream: Bool)
        case data(UInt32, [UInt8], endsStream: Bool)
        case other(F.Frame)
    }

    /// What the script may do, on any thread.
    package struct Link: Sendable {
        /// Which of the connections, from 0.
        package let number: Int
        fileprivate let channel: any Channel

        package func send(_ frames: [UInt8]...) {
            channel.writeAndFlush(ByteBuffer(bytes: frames.flatMap { $0 }), promise: nil)
        }

        package func close() { channel.close(promise: nil) }
    }

    package typealias Script = @Sendable (Event, Link) -> Void

    fileprivate struct Seen {
        var events: [(connection: Int, event: Event)] = []
        var connections = 0
        var closed = 0
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let channel: any Channel
    fileprivate final class Record: Sendable {
        let seen = Mutex(Seen())
    }
    private let record = Record()

    /// - Parameter settings: what it says first; `nil`: nothing.
    package init(settings: [(UInt16, UInt32)]? = [], takesBodies: Bool = true, _ script: @escaping Script) throws {
        let record = self.record
        channel = try ServerBootstrap(group: group).serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(OriginHandler(settings, takesBodies, script, record))
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
    }

    deinit {
        try? channel.close().wait()
        group.shutdownGracefully { _ in }
    }

    package var port: Int { channel.localAddress?.port ?? 0 }
    package var connectionCount: Int { record.seen.withLock { $0.connections } }
    package var closedCount: Int { record.seen.withLock { $0.closed } }
    package var requests: [[(String, String)]] {
        record.seen.withLock { $0.events }.compactMap { if case .headers(_, let fields, _) = $0.event { fields } else { nil } }
    }
    package var bodyBytes: Int {
        record.seen.withLock { $0.events }.reduce(0) { if case .data(_, let bytes, _) = $1.event { $0 + bytes.count } else { $0 } }
    }
    /// Frames of a type, of all connections.
    package func frames(_ type: UInt8) -> [F.Frame] {
        record.seen.withLock { $0.events }.compactMap { if case .other(let frame) = $0.event, frame.type == type { frame } else { nil } }
    }

    private final class OriginHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let settings: [(UInt16, UInt32)]?
        private let takesBodies: Bool
        private let script: Script
        private let record: Record
        private var bytes: [UInt8] = []
        private var isPrefaced = false
        private var number = 0
        private var decoder = HeaderBlockDecoder()

        init(_ settings: [(UInt16, UInt32)]?, _ takesBodies: Bool, _ script: @escaping Script, _ record: Record) {
            (self.settings, self.takesBodies, self.script, self.record) = (settings, takesBodies, script, record)
        }

        func channelActive(context: ChannelHandlerContext) {
            number = record.seen.withLock {
                $0.connections += 1
                return $0.connections - 1
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            record.seen.withLock { $0.closed += 1 }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes.append(contentsOf: unwrapInboundIn(data).readableBytesView)
            if !isPrefaced {
                guard bytes.count >= F.preface.count else { return }
                guard bytes.starts(with: F.preface) else {
                    let text = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: 5\r\n\r\nplain"
                    return context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
                }
                bytes.removeFirst(F.preface.count)
                isPrefaced = true
                if let settings { Link(number: number, channel: context.channel).send(F.settings(settings)) }
            }
            let link = Link(number: number, channel: context.channel)
            for frame in F.take(&bytes) {
                var event = Event.other(frame)
                switch frame.type {
                case 0:
                    event = .data(frame.stream, frame.payload, endsStream: frame.endsStream)
                    if takesBodies, !frame.payload.isEmpty {
                        link.send(F.window(0, UInt32(frame.payload.count)), F.window(frame.stream, UInt32(frame.payload.count)))
                    }
                case 1:
                    var fields: [(String, String)] = []
                    try? decoder.decode(frame.payload.span) { _, name, value in fields.append((String(copying: name), String(copying: value))) }
                    event = .headers(frame.stream, fields, endsStream: frame.endsStream)
                case 4 where frame.flags & 1 == 0 && settings != nil: link.send(F.acknowledgement)
                default: break
                }
                record.seen.withLock { $0.events.append((number, event)) }
                script(event, link)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
