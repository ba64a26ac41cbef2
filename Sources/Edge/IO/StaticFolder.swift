import CFiles
import HTTPSemantics
import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A folder that is open, and what can be found in it. Every call may wait for the disk, unless it says that it only asks what is in memory.
///
/// Nothing outside of the folder can be opened: a path is walked name by name from the folder's own descriptor, and no step follows a
/// link (`O_NOFOLLOW`). Where links are allowed they are resolved first, and the result is walked in the same way, so that a link that
/// changes in between is not followed but refused.
final class StaticFolder: Sendable {
    /// Without links in it.
    private let root: String
    private let rootDescriptor: Int32
    private let device: dev_t
    private let inode: ino_t

    /// - Throws: when the path leads to no folder that can be read.
    init(_ path: String) throws {
        guard let real = realpath(path, nil) else {
            throw IOError(errnoCode: errno, reason: "cannot read the folder \(path)")
        }
        root = String(cString: real)
        free(real)
        rootDescriptor = Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        var status = stat()
        guard rootDescriptor >= 0, fstat(rootDescriptor, &status) == 0 else {
            throw IOError(errnoCode: errno, reason: "\(path) is no folder that can be read")
        }
        (device, inode) = (status.st_dev, status.st_ino)
    }

    deinit {
        close(rootDescriptor)
    }

    /// Whether a path leads here.
    func isStill(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_dev == device && status.st_ino == inode
    }

    /// The disk would have to be asked.
    struct NotInMemory: Error {}

    /// Looks a path up and opens what it finds.
    func find(_ query: StaticFiles.Query) -> StaticFiles.Found {
        (try? find(query, inMemory: false)) ?? .nothing
    }

    /// The same without waiting for the disk. What takes more than names of files, links on the way and lists of a folder, is not looked for.
    /// - Source: openat2(2), `RESOLVE_CACHED`.
    func findInMemory(_ query: StaticFiles.Query) -> StaticFiles.Found? {
        query.options.links == .follow || query.options.hasListing ? nil : try? find(query, inMemory: true)
    }

    private func find(_ query: StaticFiles.Query, inMemory: Bool) throws(NotInMemory) -> StaticFiles.Found {
        switch try look(query.path, query, inMemory) {
        case .nothing:
            guard let fallback = query.options.fallback, query.path.components.last?.contains(".") != true,
                let path = try? StaticFilePath(Array(fallback.utf8).span)
            else { return .nothing }
            return try look(path, query, inMemory)
        case let found: return found
        }
    }

    private func look(_ path: StaticFilePath, _ query: StaticFiles.Query, _ inMemory: Bool) throws(NotInMemory) -> StaticFiles.Found {
        let links = query.options.links
        guard let (descriptor, status) = try open(path.components, links, inMemory) else { return .nothing }
        guard isFolder(status) else {
            if !path.isFolder { return try file(path.components, descriptor, status, query, inMemory) }
            close(descriptor)
            return .nothing
        }
        defer { close(descriptor) }
        for name in query.options.indexNames {
            let components = path.components + [name]
            guard let (descriptor, status) = try open(components, links, inMemory) else { continue }
            if case .file(let found) = try file(components, descriptor, status, query, inMemory) { return path.isFolder ? .file(found) : .folderWithoutSlash }
        }
        guard path.isFolder else { return query.options.hasListing || !query.hasApplication ? .folderWithoutSlash : .nothing }
        return query.options.hasListing ? listing(descriptor, path, links) : .nothing
    }

    /// The file, or the one beside it in the best coding.
    /// - Parameter descriptor: what was opened; closed unless it is what is found.
    private func file(
        _ components: [String], _ descriptor: Int32, _ status: stat, _ query: StaticFiles.Query, _ inMemory: Bool
    ) throws(NotInMemory) -> StaticFiles.Found {
        guard let name = components.last, isFile(status) else {
            close(descriptor)
            return .nothing
        }
        let varies = !query.options.precompressed.isEmpty
        for coding in query.codings {
            guard let ending = Self.ending(coding) else { continue }
            let found: (Int32, stat)?
            do throws(NotInMemory) {
                found = try open(components.dropLast() + [name + ending], query.options.links, inMemory)
            } catch {
                close(descriptor)
                throw error
            }
            guard let (sibling, siblingStatus) = found else { continue }
            // An older one is of what the file was before.
            if isFile(siblingStatus), (siblingStatus.st_mtim.tv_sec, siblingStatus.st_mtim.tv_nsec) >= (status.st_mtim.tv_sec, status.st_mtim.tv_nsec) {
                close(descriptor)
                return .file(StaticFiles.OpenFile(descriptor: sibling, status: siblingStatus, name: name, coding: coding, variesByCoding: true))
            }
            close(sibling)
        }
        return .file(StaticFiles.OpenFile(descriptor: descriptor, status: status, name: name, coding: .identity, variesByCoding: varies))
    }

    private static func ending(_ coding: ContentCoding) -> String? {
        switch coding {
        case .identity: nil
        case .gzip: ".gz"
        case .brotli: ".br"
        case .zstd: ".zst"
        }
    }

    private func isFile(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFREG }
    private func isFolder(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR }

    private func open(
        _ components: [String], _ links: StaticFilesOptions.Links, _ inMemory: Bool
    ) throws(NotInMemory) -> (descriptor: Int32, status: stat)? {
        let descriptor: Int32
        switch links {
        case _ where inMemory:
            descriptor = headrace_open_cached(rootDescriptor, components.isEmpty ? "." : components.joined(separator: "/"), UInt64(Self.flags))
            if descriptor < 0, errno != ENOENT { throw NotInMemory() }
        case .refuse: descriptor = walk(components)
        case .inside:
            // Mostly no link is on the way, and then none has to be resolved.
            let direct = walk(components)
            guard direct < 0, errno == ELOOP || errno == ENOTDIR else {
                descriptor = direct
                break
            }
            guard let real = realpath(([root] + components).joined(separator: "/"), nil) else { return nil }
            defer { free(real) }
            let resolved = String(cString: real)
            let prefix = root == "/" ? "/" : root + "/"
            guard resolved == root || resolved.hasPrefix(prefix) else { return nil }
            descriptor = walk(resolved.dropFirst(prefix.utf8.count).split(separator: "/").map(String.init))
        case .follow:
            descriptor = Glibc.open(([root] + components).joined(separator: "/"), Self.flags)
        }
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            close(descriptor)
            return nil
        }
        return (descriptor, status)
    }

    /// Not blocking: a named pipe would hold up the thread until somebody writes.
    private static let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK

    /// `O_PATH`, which the headers show to `_GNU_SOURCE` only (open(2)): a folder that may be passed through, if not read.
    private static let pathOnly: Int32 = 0o10_000_000

    /// Name by name, without following a link.
    /// - Returns: a descriptor, or −1.
    private func walk(_ components: [String]) -> Int32 {
        guard let last = components.last else { return openat(rootDescriptor, ".", Self.flags) }
        var folder = rootDescriptor
        defer { if folder != rootDescriptor, folder >= 0 { close(folder) } }
        for name in components.dropLast() {
            let next = openat(folder, name, Self.pathOnly | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if folder != rootDescriptor { close(folder) }
            folder = next
            guard folder >= 0 else { return -1 }
        }
        return openat(folder, last, Self.flags | O_NOFOLLOW)
    }

    private func listing(_ descriptor: Int32, _ path: StaticFilePath, _ links: StaticFilesOptions.Links) -> StaticFiles.Found {
        let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0 else { return .nothing }
        guard let folder = fdopendir(copy) else {
            close(copy)
            return .nothing
        }
        defer { closedir(folder) }
        var names: [String] = []
        var more = 0
        while let entry = readdir(folder) {
            let length = entry.pointee.d_name
            let name = withUnsafeBytes(of: length) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasPrefix("."), name != ".well-known" { continue }
            // What would not be served is not shown.
            guard let (found, status) = (try? open(path.components + [name], links, false)) ?? nil else { continue }
            close(found)
            guard isFile(status) || isFolder(status) else { continue }
            if names.count == StaticFilesOptions.listingMax {
                more += 1
            } else {
                names.append(isFolder(status) ? name + "/" : name)
            }
        }
        return .listing(DirectoryListing.page(path: path.components.joined(separator: "/"), names: names.sorted(), more: more))
    }
}
