import Foundation
import Testing

@testable import headrace

@Suite struct ServiceProbesTests {
    @Test func `a disk is full below 64 MB or two hundredths, wherever anything is written`() throws {
        func found(_ rooms: [String: ServiceProbes.Room]) -> (String?, String)? {
            ServiceProbes.diskError(rooms.keys.sorted()) { rooms[$0] ?? .init(bytes: 0, share: 0) }
        }
        #expect(found([:]) == nil)
        let enough = ServiceProbes.Room(bytes: 64 << 20, share: 0.02)
        let good = try #require(found(["/a": enough, "/b": enough]))
        #expect(good.0 == nil && good.1 == "/a, /b")
        #expect(try #require(found(["/a": enough, "/b": .init(bytes: (64 << 20) - 1, share: 0.5)])).0 == "/b: only 63 MB are free")
        #expect(try #require(found(["/a": .init(bytes: 1 << 40, share: 0.0199)])).0 == "/a: only 1048576 MB are free")
    }

    @Test func `the room of a folder is what the system says, and one that is gone is said in words`() throws {
        let folder = FileManager.default.temporaryDirectory.path
        let found = try #require(ServiceProbes.diskError([folder, folder + "/is-not-there"]))
        #expect(found.0?.hasSuffix("/is-not-there: No such file or directory") == true && found.1.hasPrefix(folder))
    }

    @Test func `clocks are compared, and one that is off is named`() throws {
        #expect(ServiceProbes.clockError([("the application", nil), ("PostgreSQL", nil)]) == nil)
        let good = try #require(ServiceProbes.clockError([("the application", -1), ("PostgreSQL", 0.2)]))
        #expect(good.0 == nil && good.1 == "the application's 1 s behind ours, PostgreSQL's within a second")
        let off = try #require(ServiceProbes.clockError([("the application", -90), ("PostgreSQL", 4.9)]))
        #expect(off.0 == "the application's 90 s behind ours")
        #expect(ServiceProbes.clockError([("PostgreSQL", 6)])?.0 == "PostgreSQL's 6 s ahead of ours")
        #expect(ServiceProbes.clockError([("PostgreSQL", 1e30)])?.0 != nil, "whatever a peer says")
        #expect(ServiceProbes.clockError([("PostgreSQL", .nan)])?.0 == nil)
    }

    @Test func `certificates that end within three weeks are named`() throws {
        #expect(ServiceProbes.certificateError([], now: 0) == nil)
        let day: Int64 = 86_400
        let found = try #require(ServiceProbes.certificateError([("a.pem", 100 * day), ("b.pem", 21 * day - 1), ("c.pem", -1), ("d.pem", day)], now: 0))
        #expect(found.0 == "b.pem ends in 20 days; c.pem has ended; d.pem ends in 1 day")
        #expect(ServiceProbes.certificateError([("a.pem", 21 * day)], now: 0)?.0 == nil)
    }
}
