import HTTPSemantics
import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A folder whose files are served. Disks are slow, so nothing here runs on an event loop: it all goes to a thread pool.
///
/// Nothing outside of the folder can be opened: a path is walked name by name from the folder's own descriptor, and no step follows a
/// link (`O_NOFOLLOW`). Where links are allowed they are resolved first, and the result is walked in the same way, so that a link that
/// changes in between is not followed but refused.
final class StaticFiles: Sendable {
    /// What a path is.
    enum Found: Sendable {
        case file(OpenFile)
        /// A folder that was asked for without its slash.
        case folderWithoutSlash
        /// A folder without an index, and the page that lists it.
        case listing(String)
        case nothing
    }

    /// What a client asks for.
    struct Query: Sendable {
        let path: StaticFilePath
        let options: StaticFilesOptions
        /// The codings in which a file beside the one that is meant would do, best first.
        let codings: [ContentCoding]
    }

    /// A file that is open for reading; closed with its last reference.
    final class OpenFile: Sendable {
        let descriptor: Int32
        let size: Int
        /// Unix seconds.
        let modified: Int64
        let entityTag: EntityTag
        let contentType: String
        /// What the bytes are coded in.
        let coding: ContentCoding
        /// Whether with other codings accepted another file might have been found.
        let variesByCoding: Bool

        fileprivate init(descriptor: Int32, status: stat, name: String, coding: ContentCoding, variesByCoding: Bool) {
            self.descriptor = descriptor
            self.coding = coding
            self.variesByCoding = variesByCoding
            size = Int(status.st_size)
            modified = Int64(status.st_mtim.tv_sec)
            // Size, time to the nanosecond and inode: a file that was replaced or written differs in one of them.
            let parts = [UInt64(status.st_ino), UInt64(status.st_size), UInt64(bitPattern: Int64(status.st_mtim.tv_sec)), UInt64(status.st_mtim.tv_nsec)]
            entityTag = EntityTag(isWeak: false, opaque: Array(parts.map { String($0, radix: 36) }.joined(separator: "-").utf8))
            contentType = MediaType.forFileName(name)
        }

        deinit {
            close(descriptor)
        }

        /// Whether so many bytes are there still. Asks the kernel, not the disk.
        func reaches(_ end: Int) -> Bool {
            var status = stat()
            return fstat(descriptor, &status) == 0 && Int(status.st_size) >= end
        }
    }

    private let root: String
    private let rootDescriptor: Int32
    private let pool: NIOThreadPool

    /// - Throws: when the root is no folder that can be read.
    init(root: String) throws {
        guard let real = realpath(root, nil) else {
            throw IOError(errnoCode: errno, reason: "cannot read the folder \(root)")
        }
        self.root = String(cString: real)
        free(real)
        rootDescriptor = Glibc.open(self.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard rootDescriptor >= 0 else { throw IOError(errnoCode: errno, reason: "\(root) is no folder that can be read") }
        // Two threads: one slow disk access does not hold up the next file.
        pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
    }

    deinit {
        close(rootDescriptor)
        // The last reference may go on one of the pool's own threads, for which it cannot wait.
        pool.shutdownGracefully { _ in }
    }

    /// Looks a path up and opens what it finds.
    func open(_ query: Query, on eventLoop: any EventLoop) -> EventLoopFuture<Found> {
        pool.runIfActive(eventLoop: eventLoop) { [self] in find(query) }
    }

    /// Reads a piece of a file. Fewer bytes than asked for mean that the file became shorter meanwhile.
    func read(_ file: OpenFile, from offset: Int, count: Int, on eventLoop: any EventLoop) -> EventLoopFuture<ByteBuffer> {
        pool.runIfActive(eventLoop: eventLoop) {
            var buffer = ByteBufferAllocator().buffer(capacity: count)
            while buffer.readableBytes < count {
                let (rest, position) = (count - buffer.readableBytes, off_t(offset + buffer.readableBytes))
                let read = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: rest) { space in
                    max(0, pread(file.descriptor, space.baseAddress, min(space.count, rest), position))
                }
                if read == 0 { break }
            }
            return buffer
        }
    }

    // MARK: On the pool's threads

    private func find(_ query: Query) -> Found {
        switch look(query.path, query) {
        case .nothing:
            guard let fallback = query.options.fallback, query.path.components.last?.contains(".") != true,
                let path = try? StaticFilePath(Array(fallback.utf8).span)
            else { return .nothing }
            return look(path, query)
        case let found: return found
        }
    }

    private func look(_ path: StaticFilePath, _ query: Query) -> Found {
        let links = query.options.links
        guard let (descriptor, status) = open(path.components, links) else { return .nothing }
        guard isFolder(status) else {
            close(descriptor)
            return path.isFolder ? .nothing : file(path.components, query)
        }
        defer { close(descriptor) }
        guard path.isFolder else { return .folderWithoutSlash }
        for name in query.options.indexNames {
            if case .file(let found) = file(path.components + [name], query) { return .file(found) }
        }
        return query.options.hasListing ? listing(descriptor, path, links) : .nothing
    }

    /// The file, or the one beside it in the best coding.
    private func file(_ components: [String], _ query: Query) -> Found {
        guard let name = components.last, let (descriptor, status) = open(components, query.options.links) else { return .nothing }
        guard isFile(status) else {
            close(descriptor)
            return .nothing
        }
        let varies = !query.options.precompressed.isEmpty
        for coding in query.codings {
            guard let ending = Self.ending(coding),
                let (sibling, siblingStatus) = open(components.dropLast() + [name + ending], query.options.links)
            else { continue }
            // An older one is of what the file was before.
            if isFile(siblingStatus), (siblingStatus.st_mtim.tv_sec, siblingStatus.st_mtim.tv_nsec) >= (status.st_mtim.tv_sec, status.st_mtim.tv_nsec) {
                close(descriptor)
                return .file(OpenFile(descriptor: sibling, status: siblingStatus, name: name, coding: coding, variesByCoding: true))
            }
            close(sibling)
        }
        return .file(OpenFile(descriptor: descriptor, status: status, name: name, coding: .identity, variesByCoding: varies))
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

    private func open(_ components: [String], _ links: StaticFilesOptions.Links) -> (descriptor: Int32, status: stat)? {
        let descriptor: Int32
        switch links {
        case .refuse: descriptor = walk(components)
        case .inside:
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

    private func listing(_ descriptor: Int32, _ path: StaticFilePath, _ links: StaticFilesOptions.Links) -> Found {
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
            guard let (found, status) = open(path.components + [name], links) else { continue }
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
