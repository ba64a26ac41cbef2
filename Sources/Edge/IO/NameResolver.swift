import CResolver
import NIOCore
import NIOPosix
import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Looks up names, away from the event loops: the system's resolver waits.
///
/// Without a name server of its own it asks the system (`getaddrinfo`, with all that `/etc/nsswitch.conf` says) for addresses; that
/// tells nothing of how long they hold. Services (SRV), and everything if a name server is set, go through `res_nquery`.
final class NameResolver: Sendable {
    /// 2: look-ups are few, and one that waits for a dead server should not hold up all others.
    private static let threadCount = 2
    /// How long one try of a query waits; there are two.
    private static let secondsPerTry: Int32 = 3

    private let threads = NIOThreadPool(numberOfThreads: threadCount)

    init() {
        threads.start()
    }

    func stop() {
        threads.shutdownGracefully { _ in }
    }

    /// What the look-up gave; fails with ``Failure``.
    func lookUp(
        _ address: UpstreamGroup.Address, nameserver: SocketEndpoint?, on eventLoop: any EventLoop
    ) -> EventLoopFuture<ResolvedMembers.Answer> {
        threads.runIfActive(eventLoop: eventLoop) { try Query(nameserver: nameserver).answer(address) }
    }

    enum Failure: Error, Equatable {
        /// No server gave an answer that could be read: what was known before is still the best guess.
        case noAnswer
        /// There is no such name, or nothing of that kind under it.
        case noSuchName
    }

    private struct Query {
        let nameserver: SocketEndpoint?

        func answer(_ address: UpstreamGroup.Address) throws -> ResolvedMembers.Answer {
            switch address {
            case .endpoint(.unix(let path)):
                return .init(endpoints: [.init(endpoint: .unix(path: path))])
            case .endpoint(.tcp(let host, let port)):
                let found = try addresses(host)
                return .init(endpoints: found.texts.map { .init(endpoint: .tcp(host: $0, port: port)) }, seconds: found.seconds)
            case .service(let name):
                let (targets, seconds) = ResolvedMembers.targets(try records(name, .srv))
                var answer = ResolvedMembers.Answer(endpoints: [], seconds: seconds)
                for target in targets {
                    // One target that cannot be found is no reason to go without the others.
                    guard let found = try? addresses(target.host) else { continue }
                    answer.endpoints += found.texts.map {
                        .init(endpoint: .tcp(host: $0, port: target.port), weight: target.weight, rank: target.rank)
                    }
                    if let seconds = found.seconds { answer.seconds = min(answer.seconds ?? seconds, seconds) }
                }
                guard !answer.endpoints.isEmpty else { throw Failure.noSuchName }
                return answer
            }
        }

        private func addresses(_ host: String) throws -> (texts: [String], seconds: UInt32?) {
            if ResolvedMembers.isAddress(host) { return ([host], nil) }
            guard nameserver != nil else { return (try systemAddresses(host), nil) }
            var texts: [String] = []
            var least: UInt32?
            var failure: Failure?
            for type in [DNSMessage.RecordType.a, .aaaa] {
                do throws(Failure) {
                    for case .address(let bytes, let seconds) in try records(host, type).records {
                        guard let text = try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: 0).ipAddress else { continue }
                        texts.append(text)
                        least = min(least ?? seconds, seconds)
                    }
                } catch {
                    if failure == nil || error == .noAnswer { failure = error }
                }
            }
            guard !texts.isEmpty else { throw failure ?? .noSuchName }
            return (texts, least)
        }

        private func systemAddresses(_ host: String) throws(Failure) -> [String] {
            var hints = addrinfo()
            hints.ai_family = AF_UNSPEC
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            let code = getaddrinfo(host, nil, &hints, &list)
            guard code == 0 else { throw code == EAI_NONAME ? .noSuchName : .noAnswer }
            defer { freeaddrinfo(list) }
            var texts: [String] = []
            var next = list
            while let entry = next {
                next = entry.pointee.ai_next
                guard let address = entry.pointee.ai_addr else { continue }
                var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                let isText = getnameinfo(
                    address, entry.pointee.ai_addrlen, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST)
                guard isText == 0 else { continue }
                let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if !texts.contains(text) { texts.append(text) }
            }
            guard !texts.isEmpty else { throw .noSuchName }
            return texts
        }

        private func records(_ name: String, _ type: DNSMessage.RecordType) throws(Failure) -> DNSMessage {
            // 64 KiB: as long as a message can be (RFC 1035 §4.2.2).
            var answer = [UInt8](repeating: 0, count: 64 << 10)
            var (server, port): (String?, Int) = (nil, 53)
            if case .tcp(let host, let number) = nameserver { (server, port) = (host, number) }
            let length = headrace_dns_query(
                name, Int32(type.rawValue), server, UInt16(clamping: port), NameResolver.secondsPerTry, &answer, Int32(answer.count))
            guard length >= 0 else { throw length == -1 ? .noAnswer : .noSuchName }
            do throws(DNSMessage.Fault) {
                return try DNSMessage(Array(answer.prefix(Int(length))))
            } catch {
                throw .noAnswer
            }
        }
    }
}
