import TestSupport
import Testing

@testable import Keyspace

@Suite struct TrackingTests {
    private let key = octets("user:1")

    private func invalidation(_ client: Int, to recipient: Int? = nil, _ keys: [[UInt8]]) -> Tracking.Invalidation {
        Tracking.Invalidation(client: client, recipient: recipient ?? client, keys: keys)
    }

    @Test func `a reader is told once of a change, until it reads again`() throws {
        var tracking = Tracking()
        try tracking.began(1, Tracking.Options())
        #expect(tracking.keysRead([key], by: 1).isEmpty)
        #expect(tracking.keyChanged(key, by: 2) == [invalidation(1, [key])])
        #expect(tracking.keyChanged(key, by: 2).isEmpty)
        _ = tracking.keysRead([key], by: 1)
        #expect(tracking.keyChanged(key, by: nil) == [invalidation(1, [key])])
    }

    @Test func `who does not track is not told`() throws {
        var tracking = Tracking()
        #expect(tracking.isOff && tracking.keysRead([key], by: 1).isEmpty && tracking.keyCount == 0)
        try tracking.began(1, Tracking.Options())
        _ = tracking.keysRead([key], by: 1)
        try tracking.began(2, Tracking.Options())
        tracking.ended(1)
        #expect(tracking.keyChanged(key, by: 2).isEmpty)
        tracking.ended(2)
        #expect(tracking.isOff)
    }

    @Test func `its own changes are told, unless it says NOLOOP`() throws {
        var tracking = Tracking()
        try tracking.began(1, Tracking.Options())
        try tracking.began(2, Tracking.Options(skipsOwnChanges: true))
        for client in [1, 2] { _ = tracking.keysRead([key], by: client) }
        #expect(tracking.keyChanged(key, by: 2) == [invalidation(1, [key])])
        _ = tracking.keysRead([key], by: 1)
        #expect(tracking.keyChanged(key, by: 1) == [invalidation(1, [key])])
    }

    @Test func `messages go to where they are redirected`() throws {
        var tracking = Tracking()
        try tracking.began(1, Tracking.Options(redirect: 9))
        _ = tracking.keysRead([key], by: 1)
        #expect(tracking.keyChanged(key, by: nil) == [invalidation(1, to: 9, [key])])
        #expect(tracking.allChanged() == [9])
    }

    @Test func `OPTIN tracks behind CACHING YES, OPTOUT unless behind CACHING NO`() throws {
        var tracking = Tracking()
        try tracking.began(1, Tracking.Options(mode: .optIn))
        try tracking.began(2, Tracking.Options(mode: .optOut))
        _ = tracking.keysRead([key], by: 1)
        #expect(tracking.keyCount == 0)
        #expect(tracking.cachingSaid(1, true) == nil && tracking.cachingSaid(2, false) == nil)
        _ = tracking.keysRead([key], by: 1)
        _ = tracking.keysRead([key], by: 2)
        #expect(tracking.keyChanged(key, by: nil) == [invalidation(1, [key])])
        tracking.commandEnded(1)
        tracking.commandEnded(2)
        _ = tracking.keysRead([key], by: 1)
        _ = tracking.keysRead([key], by: 2)
        #expect(tracking.keyChanged(key, by: nil) == [invalidation(2, [key])])
        #expect(tracking.cachingSaid(1, false)?.contains("OPTOUT") == true && tracking.cachingSaid(2, true)?.contains("OPTIN") == true)
        #expect(tracking.cachingSaid(3, true) != nil)
    }

    @Test func `broadcasting tells of every key below its prefixes, read or not`() throws {
        var tracking = Tracking()
        try tracking.began(1, Tracking.Options(mode: .broadcast(prefixes: [octets("user:"), octets("page:")])))
        try tracking.began(2, Tracking.Options(mode: .broadcast(prefixes: [])))
        #expect(Set(tracking.keyChanged(key, by: nil).map(\.client)) == [1, 2])
        #expect(tracking.keyChanged(octets("else"), by: nil) == [invalidation(2, [octets("else")])])
        #expect(tracking.prefixCount == 3 && tracking.keyCount == 0)
        tracking.ended(1)
        tracking.ended(2)
        #expect(tracking.prefixCount == 0)
    }

    @Test func `prefixes that overlap are refused, and so are other modes without OFF between`() throws {
        var tracking = Tracking(prefixesPerClientMax: 3)
        func broadcast(_ prefixes: String...) -> Tracking.Options { Tracking.Options(mode: .broadcast(prefixes: prefixes.map(octets))) }
        #expect(throws: Tracking.Refusal.prefixesOverlap(octets("ab"), octets("a"))) { try tracking.began(1, broadcast("a", "ab")) }
        #expect(tracking.isOff && tracking.prefixCount == 0)
        try tracking.began(1, broadcast("a", "b"))
        try tracking.began(1, broadcast("c", "a"))
        #expect(throws: Tracking.Refusal.prefixesTooMany) { try tracking.began(1, broadcast("d")) }
        #expect(throws: Tracking.Refusal.modeChanged) { try tracking.began(1, Tracking.Options()) }
        try tracking.began(2, Tracking.Options(mode: .optIn))
        #expect(throws: Tracking.Refusal.optChanged) { try tracking.began(2, Tracking.Options(mode: .optOut)) }
        tracking.ended(2)
        try tracking.began(2, Tracking.Options(mode: .optOut))
    }

    @Test func `long prefixes and long keys count: there is a bound of their bytes`() throws {
        var tracking = Tracking(keyBytesMax: 1_000, prefixBytesMax: 100)
        func prefix(_ first: UInt8, _ count: Int) -> Tracking.Options { .init(mode: .broadcast(prefixes: [[first] + [UInt8](repeating: 97, count: count - 1)])) }
        try tracking.began(1, prefix(1, 60))
        #expect(throws: Tracking.Refusal.prefixesTooMany) { try tracking.began(1, prefix(2, 60)) }
        try tracking.began(1, prefix(3, 40))
        #expect(tracking.prefixBytes(of: 1) == 100)
        try tracking.began(2, Tracking.Options())
        func read(_ number: UInt8) -> Int { tracking.keysRead([[number] + [UInt8](repeating: 98, count: 399)], by: 2).count }
        #expect(read(1) == 0 && read(2) == 0 && read(1) == 0)
        #expect(read(3) == 1 && tracking.keyCount == 2)
        // Forgotten, they leave their room.
        _ = tracking.allChanged()
        #expect(read(4) == 0 && read(5) == 0 && tracking.keyCount == 2)
    }

    @Test func `the table holds so many keys, and one more invalidates another`() throws {
        var tracking = Tracking(keyCountMax: 10)
        try tracking.began(1, Tracking.Options())
        for number in 0..<10 { #expect(tracking.keysRead([octets("key:\(number)")], by: 1).isEmpty) }
        #expect(tracking.keyCount == 10)
        #expect(tracking.keysRead([octets("key:10")], by: 1).count == 1)
        #expect(tracking.keyCount == 10)
        // Many readers of few keys have a bound, too.
        for client in 2..<100 {
            try tracking.began(client, Tracking.Options())
            _ = tracking.keysRead((0..<10).map { octets("key:\($0)") }, by: client)
        }
        var told = 0
        for number in 0...10 { told += tracking.keyChanged(octets("key:\(number)"), by: nil).count }
        #expect(told <= 80 && told > 0)
    }
}
