import Foundation
import TestSupport
import Testing

@testable import headrace

/// Which paths a user can lead elsewhere.
@Suite struct PathGuardTests {
    /// Nobody is the user that serves, unless a test says another.
    static let nobody: uid_t = 65_534

    private let folder: TemporaryFolder
    private var paths = PathGuard(user: nobody, groups: [nobody])

    init() throws {
        folder = try TemporaryFolder()
        for name in ["live", "archive"] { try FileManager.default.createDirectory(atPath: "\(folder.path)/\(name)", withIntermediateDirectories: false) }
        try Data("key".utf8).write(to: URL(filePath: "\(folder.path)/archive/key.pem"))
        // As certbot has them.
        #expect(symlink("../archive/key.pem", "\(folder.path)/live/key.pem") == 0)
    }

    private func path(_ name: String) -> String { "\(folder.path)/\(name)" }

    @Test func `links and points are followed where only others write`() throws {
        let file = path("archive/key.pem")
        for way in ["archive/key.pem", "live/key.pem", "live/../archive/./key.pem", "live//key.pem"] { #expect(try paths.resolve(path(way)) == file) }
        #expect(symlink(path("live"), path("there")) == 0)
        #expect(try paths.resolve(path("there/key.pem")) == file)
        try paths.resolveTrusted(file)
    }

    @Test(arguments: ["", "archive", "live"]) func `a folder on the way that all may write to leads anywhere`(open: String) throws {
        chmod(path(open), 0o777)
        #expect(throws: PathGuard.Refusal.self) { try paths.resolve(path("live/key.pem")) }
    }

    @Test func `a folder, a link or a file of the user's own is his to change`() throws {
        let own = PathGuard(user: geteuid(), groups: [])
        #expect(throws: PathGuard.Refusal.self) { try own.resolve(path("archive/key.pem")) }
        // A group has the same say, if he is in it.
        chmod(path("archive"), 0o775)
        #expect(try paths.resolve(path("archive/key.pem")) == path("archive/key.pem"))
        let inGroup = PathGuard(user: Self.nobody, groups: [getegid()])
        #expect(throws: PathGuard.Refusal.isChangeable(path("archive/key.pem"))) { try inGroup.resolve(path("archive/key.pem")) }
    }

    @Test func `in a folder as tmp everybody's own is his to change, and others' is not`() throws {
        chmod(path("live"), 0o1777)
        #expect(try paths.resolve(path("live/key.pem")) == path("archive/key.pem"))
        // Another name of somebody's file, which needs no right to it everywhere.
        #expect(link(path("archive/key.pem"), path("live/linked.pem")) == 0)
        #expect(throws: PathGuard.Refusal.self) { try paths.resolve(path("live/linked.pem")) }
        guard geteuid() == 0 else { return }
        #expect(symlink("/etc/shadow", path("live/swapped.pem")) == 0)
        #expect(try paths.resolve(path("live/swapped.pem")) == "/etc/shadow")
        #expect(lchown(path("live/swapped.pem"), Self.nobody, Self.nobody) == 0)
        #expect(throws: PathGuard.Refusal.isChangeable(path("live/swapped.pem"))) { try paths.resolve(path("live/swapped.pem")) }
    }

    @Test func `links that go in a circle and names that are not there end`() throws {
        #expect(symlink("b", path("a")) == 0 && symlink("a", path("b")) == 0)
        #expect(throws: PathGuard.Refusal.isMissing(path("a"), ELOOP)) { try paths.resolve(path("a")) }
        #expect(throws: PathGuard.Refusal.isMissing(path("none"), ENOENT)) { try paths.resolve(path("none/key.pem")) }
    }

    @Test func `a file that is trusted is nobody's to write`() throws {
        chmod(path("archive/key.pem"), 0o666)
        #expect(throws: PathGuard.Refusal.isChangeable(path("archive/key.pem"))) { try paths.resolveTrusted(path("archive/key.pem")) }
    }
}
