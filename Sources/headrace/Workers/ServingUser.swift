import Foundation

/// As whom clients are served when root has started it (`user`).
struct ServingUser: Sendable, Equatable {
    let name: String
    let user: uid_t
    let group: gid_t
    /// All, the one above with them.
    let groups: [gid_t]

    /// - Returns: `nil` when this machine has none of the name.
    init?(named name: String) {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var space = [CChar](repeating: 0, count: 16 << 10)
        guard getpwnam_r(name, &entry, &space, space.count, &found) == 0, found != nil else { return nil }
        (self.name, user, group) = (name, entry.pw_uid, entry.pw_gid)
        // The kernel's most (NGROUPS_MAX).
        var groups = [gid_t](repeating: 0, count: 65_536)
        var count = Int32(groups.count)
        guard getgrouplist(name, entry.pw_gid, &groups, &count) >= 0 else { return nil }
        self.groups = Array(groups.prefix(Int(count)))
    }

    /// What an operator should know of who serves.
    static func warnings(_ settings: Settings, isRoot: Bool = geteuid() == 0) -> [String] {
        switch (settings.user, isRoot) {
        case (nil, true): ["root serves, so that whoever takes over the process has the machine: `user` names whom it becomes once it has its addresses and files"]
        case (let name?, false) where ServingUser(named: name)?.user != geteuid():
            ["user is \(name), but only root can become another user: it is passed over"]
        case (nil, false), (_?, true), (_?, false): []
        }
    }

    /// Makes the folders that it will write to, where they are not there, and gives them to it.
    func provide(_ settings: Settings) {
        for folder in [settings.dashboard.state, settings.hasKeyspace ? settings.keyspace.directory : nil] {
            guard let folder, !FileManager.default.fileExists(atPath: folder) else { continue }
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            own(folder)
        }
    }

    /// Gives it what has been made for it.
    func own(_ path: String) { _ = lchown(path, user, group) }
}

extension Settings {
    /// `nil`: whoever has started it serves.
    var servingUser: ServingUser? {
        guard geteuid() == 0, let found = user.flatMap({ ServingUser(named: $0) }), found.user != 0 else { return nil }
        return found
    }
}
