import HTTPSemantics
import NIOPosix
import Testing

@testable import Edge

@Suite struct PasswordThreadsTests {
    private func credentials(_ authenticator: BasicAuthenticator) throws -> BasicAuthenticator.Credentials {
        let fields = try RequestHead.get("/", ["Authorization: Basic YW5uOng="]).fields
        guard case .unknown(let credentials) = authenticator.verdict(fields) else { throw HeadIsNotWhole() }
        return credentials
    }

    @Test func `so many passwords wait, one more is turned away, and there is room again when they are done`() throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        let threads = PasswordThreads()
        // A third of a second holds the one thread; all else lines up behind it.
        let slow = try BasicAuthenticator("ann:$2y$12$hwmL6aV3nkYq5lTVm5n7oO6cgU.WoEamjUqx4vjEjarVG/JwGIxaG")
        let quick = try BasicAuthenticator("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")
        let (first, other) = (try credentials(slow), try credentials(quick))
        let admitted = (0..<PasswordThreads.waitingMax).map { number in
            threads.isRight(number == 0 ? first : other, number == 0 ? slow : quick, on: group.next())
        }
        #expect(admitted.allSatisfy { $0 != nil })
        #expect(threads.isRight(other, quick, on: group.next()) == nil)
        for result in admitted { #expect(try result?.wait() == false) }
        #expect(try threads.isRight(other, quick, on: group.next())?.wait() == false)
    }
}
