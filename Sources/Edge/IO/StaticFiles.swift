import HTTPSemantics
import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A folder whose files are served. Disks are slow, so nothing here runs on an event loop: it all goes to a thread pool.
final class StaticFiles: Sendable {
    /// What a path is.
    enum Found: Sendable {
        case file(OpenFile)
        /// A folder that was asked for without its slash.
        case folderWithoutSlash
        case nothing
    }

    /// A file that is open for reading; closed with its last reference.
    final class OpenFile: Sendable {
        let descriptor: Int32
        let size: Int
        /// Unix seconds.
        let modified: Int64
        let entityTag: EntityTag
        let contentType: String

        init(descriptor: Int32, status: stat, name: String) {
            self.descriptor = descriptor
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
    }

    private let root: String
    private let pool: NIOThreadPool

    /// - Throws: when the root is no folder that can be read.
    init(root: String) throws {
        guard let real = realpath(root, nil) else {
            throw IOError(errnoCode: errno, reason: "cannot read the folder \(root)")
        }
        self.root = String(cString: real)
        free(real)
        var status = stat()
        guard stat(self.root, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw IOError(errnoCode: ENOTDIR, reason: "\(root) is not a folder")
        }
        // Two threads: one slow disk access does not hold up the next file.
        pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
    }

    func shutdown() {
        pool.shutdownGracefully { _ in }
    }

    /// Looks a path up and opens what it finds.
    func open(_ path: StaticFilePath, on eventLoop: any EventLoop) -> EventLoopFuture<Found> {
        pool.runIfActive(eventLoop: eventLoop) { [root] in Self.find(path, root: root) }
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

    private static func find(_ path: StaticFilePath, root: String) -> Found {
        var full = ([root] + path.components).joined(separator: "/")
        var status = stat()
        guard stat(full, &status) == 0 else { return .nothing }
        if status.st_mode & S_IFMT == S_IFDIR {
            guard path.isFolder else { return .folderWithoutSlash }
            full += "/index.html"
        } else if path.isFolder {
            return .nothing
        }
        // Links may point within the root, and nowhere else.
        guard let real = realpath(full, nil) else { return .nothing }
        defer { free(real) }
        let resolved = String(cString: real)
        guard resolved.hasPrefix(root == "/" ? "/" : root + "/") else { return .nothing }
        let descriptor = Glibc.open(resolved, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return .nothing }
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return .nothing
        }
        return .file(OpenFile(descriptor: descriptor, status: status, name: full))
    }
}
