import HTTPSemantics
import NIOCore
import NIOPosix
import Telemetry
import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A folder whose files are served. Disks are slow, so what may have to ask one goes to a thread pool, and not to an event loop.
final class StaticFiles: Sendable {
    /// What a path is.
    enum Found: Sendable {
        case file(OpenFile)
        /// A folder that was asked for without its slash. With an application behind the files only one that answers with it: for a folder that
        /// has neither index nor listing the application is asked, for the path as it is.
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
        /// Somebody else answers for what is no file.
        let hasApplication: Bool
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

        init(descriptor: Int32, status: stat, name: String, coding: ContentCoding, variesByCoding: Bool) {
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

    private let path: String
    /// With when it was made sure that the path leads there.
    private let folder: Lock<(folder: StaticFolder, checked: NIODeadline)>
    private let pool: NIOThreadPool

    /// - Throws: when the path leads to no folder that can be read.
    init(root path: String) throws {
        self.path = path
        folder = Lock((try StaticFolder(path), .now()))
        // Two threads: one slow disk access does not hold up the next file.
        pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
    }

    deinit {
        // The last reference may go on one of the pool's own threads, for which it cannot wait.
        pool.shutdownGracefully { _ in }
    }

    /// The folder to which the path leads now: a release may be a link that is set anew, or a folder in the place of another. While it leads
    /// nowhere, the last one. On the pool's threads.
    private var current: StaticFolder {
        let now = NIODeadline.now()
        let known = folder.withLock { $0.folder }
        let new = known.isStill(path) ? known : (try? StaticFolder(path)) ?? known
        folder.withLock { $0 = (new, now) }
        return new
    }

    /// Where the path led within the last second.
    private var recent: StaticFolder? {
        let (folder, checked) = folder.withLock { $0 }
        return NIODeadline.now() < checked + .seconds(1) ? folder : nil
    }

    /// Looks a path up and opens what it finds: at once what the kernel has in memory.
    func open(_ query: Query, on eventLoop: any EventLoop) -> EventLoopFuture<Found> {
        if let found = recent?.findInMemory(query) { return eventLoop.makeSucceededFuture(found) }
        return pool.runIfActive(eventLoop: eventLoop) { [self] in current.find(query) }
    }

    /// Reads a piece of a file. Fewer bytes than asked for mean that the file became shorter meanwhile.
    /// - Parameter pressure: what is read waits for its loop, and thousands of pieces can be on their way.
    /// - Throws: ``Postponed`` while the process is too short of memory for it.
    func read(_ file: OpenFile, from offset: Int, count: Int, _ pressure: MemoryPressure, on eventLoop: any EventLoop) -> EventLoopFuture<ByteBuffer> {
        pool.runIfActive(eventLoop: eventLoop) {
            pressure.grew(by: count)
            guard pressure.level < .exchanges else { throw Postponed() }
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

    /// Nothing was read: it may be tried again.
    struct Postponed: Error {}
}
