import NIOCore
import NIOPosix
import Transport

/// One visitor's connections to one origin: as many as a browser makes, each used again.
actor PageSession {
    /// As browsers have it for HTTP/1.1.
    static let connectionsMax = 6

    private let origin: HTTPURL
    private let timeout: Duration
    private let tls: TLSClient?
    private var idle: [any Channel] = []
    private var open = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// - Parameter verifies: whether a certificate must be trusted.
    init(_ origin: HTTPURL, timeout: Duration, verifies: Bool) throws {
        self.origin = origin
        self.timeout = timeout
        tls = origin.isSecure ? try TLSClient(host: origin.host, verifies: verifies) : nil
    }

    /// Asks when a connection is free.
    /// - Precondition: the URL is of the session's origin.
    func get(_ url: HTTPURL, fields: [Workload.Field]) async throws -> PageFetch.Page {
        let request: Workload.Request
        do {
            request = try Workload([RequestSpecification(url, fields: fields)]).requests[0]
        } catch {
            throw PageFetch.Failure(kind: .malformed, description: "\(error)")
        }
        while open >= Self.connectionsMax, idle.isEmpty { await withCheckedContinuation { waiting.append($0) } }
        defer { if !waiting.isEmpty { waiting.removeFirst().resume() } }
        while let channel = idle.popLast() {
            guard channel.isActive else {
                open -= 1
                continue
            }
            do {
                return try await ask(channel, url, request)
            } catch let failure as PageFetch.Failure where failure.kind == .closed || failure.kind == .reset {
                // It was idle for too long: a connection of its own is the request's second chance.
                break
            }
        }
        open += 1
        let channel: any Channel
        do {
            channel = try await PageFetch.connect(to: origin, timeout: timeout, tls: tls)
        } catch {
            open -= 1
            throw error
        }
        return try await ask(channel, url, request)
    }

    private func ask(_ channel: any Channel, _ url: HTTPURL, _ request: Workload.Request) async throws -> PageFetch.Page {
        do {
            let page = try await PageFetch.ask(channel, url, request, timeout: timeout)
            if page.head.keepsAlive {
                idle.append(channel)
            } else {
                open -= 1
                channel.close(promise: nil)
            }
            return page
        } catch {
            open -= 1
            channel.close(promise: nil)
            throw error
        }
    }

    /// Ends all connections.
    func close() {
        for channel in idle { channel.close(promise: nil) }
        open -= idle.count
        idle = []
    }
}
