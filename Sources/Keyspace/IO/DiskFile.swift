import CFiles

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What the disk refused: which operation on which file, and the system's number.
struct DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    var operation: String
    var path: String
    var number: Int32

    var description: String { "\(operation) \(path): \(String(cString: strerror(number)))" }
    /// No space, or no more of the quota.
    var isFull: Bool { number == ENOSPC || number == EDQUOT }

    fileprivate static func last(_ operation: String, _ path: String) -> DiskError {
        DiskError(operation: operation, path: path, number: errno)
    }
}

/// A file open for writing. Everything blocks.
struct DiskFile: ~Copyable {
    let path: String
    private let descriptor: Int32
    /// How long it is.
    private(set) var byteCount: Int

    /// Opens a file to append to; makes it if there is none.
    /// - Parameter isNew: whether what is in it goes away.
    init(path: String, isNew: Bool) throws(DiskError) {
        self.path = path
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (isNew ? O_TRUNC : 0), 0o640)
        guard descriptor >= 0 else { throw .last("open", path) }
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else {
            close(descriptor)
            throw .last("seek", path)
        }
        self.descriptor = descriptor
        byteCount = Int(end)
    }

    deinit {
        close(descriptor)
    }

    /// Writes all bytes. When that fails the file is cut back to what it was: half a command in the middle would be damage, once
    /// more is written behind it.
    mutating func append(_ bytes: [UInt8]) throws(DiskError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, $0.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let error = DiskError.last("write", path)
                _ = ftruncate(descriptor, off_t(byteCount))
                lseek(descriptor, off_t(byteCount), SEEK_SET)
                throw error
            }
            written += count
        }
        byteCount += written
    }

    func sync() throws(DiskError) {
        guard fdatasync(descriptor) == 0 else { throw .last("sync", path) }
    }

    /// Lets the disk begin with bytes that were appended: when all are synced at the end, the kernel has the core for a millisecond for 60 MB.
    func beginWriteback(_ range: Range<Int>) {
        headrace_begin_writeback(descriptor, Int64(range.lowerBound), Int64(range.count))
    }

    /// Cuts the file off behind so many bytes.
    mutating func truncate(to count: Int) throws(DiskError) {
        guard ftruncate(descriptor, off_t(count)) == 0, lseek(descriptor, off_t(count), SEEK_SET) >= 0 else { throw .last("truncate", path) }
        byteCount = count
    }
}

/// Operations on the names in a directory, each on disk when it returns.
enum Disk {
    /// Puts a whole file in the place of another: after a crash one or the other is there, never a part.
    static func replace(_ path: String, with bytes: [UInt8]) throws(DiskError) {
        let temporary = path + ".new"
        var file = try DiskFile(path: temporary, isNew: true)
        try file.append(bytes)
        try file.sync()
        try move(temporary, to: path)
    }

    static func move(_ path: String, to new: String) throws(DiskError) {
        guard rename(path, new) == 0 else { throw .last("rename", path) }
        try syncDirectory(of: new)
    }

    static func makeDirectory(_ path: String) throws(DiskError) {
        guard mkdir(path, 0o750) == 0 || errno == EEXIST else { throw .last("make directory", path) }
    }

    /// A file that is not there is no error.
    static func remove(_ path: String) throws(DiskError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    }

    /// Gives a file a second name. One that is there already goes.
    static func link(_ path: String, to new: String) throws(DiskError) {
        try remove(new)
        #if canImport(Glibc)
        let result = Glibc.link(path, new)
        #else
        let result = Musl.link(path, new)
        #endif
        guard result == 0 else { throw .last("link", path) }
        try syncDirectory(of: new)
    }

    /// Takes a file that is about to go out of the page cache, a part at a time; whoever reads it gets it from the disk. Otherwise the kernel does it
    /// with the file's end, and has the core for a millisecond for 60 MB.
    /// - Parameter rest: called behind each megabyte.
    static func uncache(_ path: String, rest: () -> Void) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        for start in stride(from: 0, to: byteCount(path), by: 1 << 20) {
            posix_fadvise(descriptor, off_t(start), 1 << 20, POSIX_FADV_DONTNEED)
            rest()
        }
    }

    /// How long a file is; 0 for none.
    static func byteCount(_ path: String) -> Int {
        var information = stat()
        return stat(path, &information) == 0 ? Int(information.st_size) : 0
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func syncDirectory(of path: String) throws(DiskError) {
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let descriptor = open(parent.isEmpty ? "/" : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", parent) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .last("sync", parent) }
    }

    /// Gives the bytes of a file, mapped: a large one takes no memory of its own.
    static func withBytes<Result, Failure: Error>(
        of path: String, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(DiskError) -> Swift.Result<Result, Failure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", path) }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw .last("stat", path) }
        let count = Int(information.st_size)
        guard count > 0 else { return run(UnsafeRawBufferPointer(start: nil, count: 0), body) }
        guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else { throw .last("map", path) }
        defer { munmap(start, count) }
        posix_madvise(start, count, POSIX_MADV_SEQUENTIAL)
        return run(UnsafeRawBufferPointer(start: start, count: count), body)
    }

    private static func run<Result, Failure: Error>(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) -> Swift.Result<Result, Failure> {
        do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
}

/// The claim of one process on a directory; it ends with the value, or with the process, however that ends.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// - Returns: `nil` when another process has it.
    init?(_ path: String) throws(DiskError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let error = DiskError.last("lock", path)
            close(descriptor)
            // A file system without locks: then nobody is kept out.
            guard error.number != EWOULDBLOCK else { return nil }
            self.descriptor = -1
            return
        }
        self.descriptor = descriptor
    }

    deinit {
        guard descriptor >= 0 else { return }
        // Closed alone, it would be held as long as a child that was started at this moment has not become its program.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
