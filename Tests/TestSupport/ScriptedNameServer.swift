import Foundation
import Synchronization

/// A name server on UDP that says what a test tells it to, and changes its mind.
public final class ScriptedNameServer: Sendable {
    public enum Record: Sendable {
        /// An IPv4 address.
        case address(String)
        /// `::1`.
        case address6
        case service(priority: Int, weight: Int, port: Int, target: String)
    }

    private struct State {
        var records: [String: [Record]] = [:]
        var queries: [String] = []
        var delay: Double
    }

    private let state: Mutex<State>
    private let descriptor: Int32
    public let port: Int

    /// - Parameter delay: seconds before each answer.
    public init(_ records: [String: [Record]], delay: Double = 0) throws {
        state = Mutex(State(delay: delay))
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw RawClient.Failure(description: "bind: \(String(cString: strerror(errno)))") }
        port = Int(UInt16(bigEndian: address.sin_port))
        set(records)
        Thread.detachNewThread { [weak self] in
            var query = [UInt8](repeating: 0, count: 1500)
            while true {
                var peer = sockaddr_in()
                var size = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = withUnsafeMutablePointer(to: &peer) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(descriptor, &query, query.count, 0, $0, &size) }
                }
                guard count > 12, let self, let answer = self.answer(Array(query[..<count])) else { return }
                Thread.sleep(forTimeInterval: self.state.withLock { $0.delay })
                _ = withUnsafePointer(to: &peer) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(descriptor, answer, answer.count, 0, $0, size) }
                }
            }
        }
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }

    /// From here on names have these records and no others; each holds for a second.
    public func set(_ records: [String: [Record]]) {
        state.withLock { $0.records = records }
    }

    /// The names that were asked for so far.
    public var queries: [String] { state.withLock { $0.queries } }

    private func answer(_ query: [UInt8]) -> [UInt8]? {
        var labels: [String] = []
        var position = 12
        while position < query.count, query[position] > 0 {
            let end = position + 1 + Int(query[position])
            guard end < query.count else { return nil }
            labels.append(String(decoding: query[(position + 1)..<end], as: UTF8.self))
            position = end
        }
        guard position + 5 <= query.count else { return nil }
        let type = query[position + 2]
        let name = labels.joined(separator: ".")
        let known = state.withLock { state in
            state.queries.append(name)
            return state.records[name]
        }
        var data: [[UInt8]] = []
        for record in known ?? [] {
            switch record {
            case .address(let text) where type == 1:
                data.append(text.split(separator: ".").compactMap { UInt8($0) })
            case .address6 where type == 28: data.append([UInt8](repeating: 0, count: 15) + [1])
            case .service(let priority, let weight, let port, let target) where type == 33:
                let numbers = [priority, weight, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
                data.append(numbers + target.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0])
            case .address, .address6, .service: break
            }
        }
        // A response, recursion available; NXDOMAIN for a name that is not known.
        var answer = Array(query[0..<2]) + [0x81, known == nil ? 0x83 : 0x80, 0, 1, 0, UInt8(data.count), 0, 0, 0, 0]
        answer += query[12..<(position + 5)]
        for record in data { answer += [0xC0, 12, 0, type, 0, 1, 0, 0, 0, 1, 0, UInt8(record.count)] + record }
        return answer
    }
}
