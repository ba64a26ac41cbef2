import CProcess
import Foundation

/// Whether a user can have chosen what a path leads to: by writing to a folder on the way, or by a link there.
///
/// Where he cannot, he cannot later either, so what is found is what is opened then. Links that others have made are followed: certbot's are
/// links (`live/NAME/privkey.pem`).
struct PathGuard: Sendable {
    enum Refusal: Error, Equatable, CustomStringConvertible {
        /// The user may write to it, or may have put it there.
        case isChangeable(String)
        case isMissing(String, Int32)

        var description: String {
            switch self {
            case .isChangeable(let path): "\(path) can be changed by the user that serves"
            case .isMissing(let path, let code): "\(path): \(String(cString: strerror(code)))"
            }
        }
    }

    /// As many as the kernel follows (path_resolution(7)).
    private static let linksMax = 40

    let user: uid_t
    let groups: Set<gid_t>

    /// The path without links.
    /// - Parameter path: absolute, or from the working directory on.
    func resolve(_ path: String) throws(Refusal) -> String {
        let start = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        // The next is the last.
        var rest = Array(start.split(separator: "/").reversed())
        // Without links; empty for the root.
        var here = ""
        var links = 0
        while let name = rest.popLast() {
            if name == "." { continue }
            if name == ".." {
                here = String(here[..<(here.lastIndex(of: "/") ?? here.startIndex)])
                continue
            }
            let folder = here.isEmpty ? "/" : here
            let next = here + "/" + name
            let (parent, entry) = (try status(folder), try status(next))
            guard !mayReplace(entry, in: parent, folder) else { throw .isChangeable(next) }
            guard entry.st_mode & S_IFMT == S_IFLNK else {
                here = next
                continue
            }
            links += 1
            guard links <= Self.linksMax, let target = try? FileManager.default.destinationOfSymbolicLink(atPath: next) else { throw .isMissing(next, ELOOP) }
            if target.hasPrefix("/") { here = "" }
            rest += target.split(separator: "/").reversed()
        }
        return here.isEmpty ? "/" : here
    }

    /// The same for a file whose content is trusted, too.
    func resolveTrusted(_ path: String) throws(Refusal) {
        let file = try resolve(path)
        guard !mayWrite(try status(file), file) else { throw .isChangeable(file) }
    }

    private func status(_ path: String) throws(Refusal) -> stat {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .isMissing(path, errno) }
        return status
    }

    private func mayReplace(_ entry: stat, in folder: stat, _ path: String) -> Bool {
        guard mayWrite(folder, path) else { return false }
        // In a folder such as /tmp everybody replaces his own alone, and names another's file by a hard link at most.
        let isSticky = folder.st_mode & S_ISVTX != 0 && folder.st_uid != user
        return !isSticky || entry.st_uid == user || entry.st_mode & S_IFMT != S_IFDIR && entry.st_nlink != 1
    }

    private func mayWrite(_ file: stat, _ path: String) -> Bool {
        if file.st_uid == user || file.st_mode & S_IWOTH != 0 { return true }
        // Of a file with a list, the bits of the group are the most that anybody in the list may.
        return file.st_mode & S_IWGRP != 0 && (groups.contains(file.st_gid) || headrace_has_access_list(path) != 0)
    }
}
