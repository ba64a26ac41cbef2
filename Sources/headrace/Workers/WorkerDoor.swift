import Foundation
import NIOCore
import NIOPosix
import Telemetry
import Transport

/// Where a layer's own process is asked for its numbers: a Unix socket in a folder that only its user may enter. A line is asked on each connection and
/// answered in JSON, until the end; one connection at a time.
struct WorkerDoor: Sendable {
    private static let lineBytesMax = 256
    /// Statements of a busy pooler; what is more is no answer.
    private static let answerBytesMax = 16 << 20
    /// A process of the same user that says nothing holds up the others for no longer.
    private static let seconds = 2

    let path: String

    static func path(of layer: Layer, in folder: String) -> String { "\(folder)/\(layer.rawValue).socket" }

    /// Answers from now on, on a thread of its own, which ends with the process.
    /// - Throws: when the socket cannot be made.
    func open(_ answer: @escaping @Sendable ([Substring]) async -> Data?) throws {
        let descriptor = try ListeningSocket.bind(.unix(path: path))
        // The thread waits for who comes.
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        guard listen(descriptor, 16) == 0 else { throw IOError(errnoCode: errno, reason: "listen") }
        Thread.detachNewThread {
            while true {
                let client = accept(descriptor, nil, nil)
                guard client >= 0 else {
                    // Out of descriptors, say.
                    if errno != EINTR { usleep(100_000) }
                    continue
                }
                _ = fcntl(client, F_SETFD, FD_CLOEXEC)
                Self.serve(client, answer)
                close(client)
            }
        }
    }

    private final class Reply: Sendable {
        let data = Lock(Data?.none)
    }

    private static func serve(_ client: Int32, _ answer: @escaping @Sendable ([Substring]) async -> Data?) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] { setsockopt(client, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)) }
        var bytes = [UInt8](repeating: 0, count: lineBytesMax)
        var count = 0
        while !bytes[..<count].contains(UInt8(ascii: "\n")) {
            guard count < bytes.count else { return }
            let more = bytes.withUnsafeMutableBytes { bytes in
                let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
                return recv(client, rest.baseAddress, rest.count, 0)
            }
            guard more > 0 else { return }
            count += more
        }
        let line = String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        let done = DispatchSemaphore(value: 0)
        let reply = Reply()
        Task {
            let data = await answer(line.split(separator: " "))
            reply.data.withLock { $0 = data }
            done.signal()
        }
        done.wait()
        guard let data = reply.data.withLock({ $0 }) else { return }
        var sent = 0
        while sent < data.count {
            let more = data.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
                return send(client, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            guard more > 0 else { return }
            sent += more
        }
    }

    /// The other side, which is another process. Asked in turns, on a thread that may wait.
    final class Client: Sendable {
        private let path: String
        private let thread = NIOThreadPool(numberOfThreads: 1)
        private let waiting = Lock(0)
        /// While a layer's process is being started anew, nobody piles up behind it.
        private static let waitingMax = 16

        init(path: String) {
            self.path = path
            thread.start()
        }

        deinit { thread.shutdownGracefully { _ in } }

        /// - Returns: `nil` when nobody answers, or what is no answer.
        func ask<Value: Decodable & Sendable>(_ line: String) async -> Value? {
            guard enter() else { return nil }
            let data: Data? = await withCheckedContinuation { continuation in
                thread.submit { [self] state in
                    waiting.withLock { $0 -= 1 }
                    continuation.resume(returning: state == .active ? answer(line) : nil)
                }
            }
            return data.flatMap { try? JSONDecoder().decode(Value.self, from: $0) }
        }

        /// Without waiting for anything.
        func tell(_ line: String) {
            guard enter() else { return }
            thread.submit { [self] state in
                waiting.withLock { $0 -= 1 }
                if state == .active { _ = answer(line) }
            }
        }

        private func enter() -> Bool {
            waiting.withLock { waiting in
                guard waiting < Self.waitingMax else { return false }
                waiting += 1
                return true
            }
        }

        private func answer(_ line: String) -> Data? {
            guard let socket = try? BlockingSocket(.unix(path: path), seconds: WorkerDoor.seconds) else { return nil }
            var buffer = ByteBuffer(string: line + "\n")
            do {
                try socket.send(buffer)
                buffer.clear()
                while try socket.receive(into: &buffer) {
                    guard buffer.readableBytes <= WorkerDoor.answerBytesMax else { return nil }
                }
                return Data(buffer.readableBytesView)
            } catch {
                return nil
            }
        }
    }
}
