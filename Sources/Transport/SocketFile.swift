#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The file by which a Unix socket is reached that this process has bound.
public struct SocketFile: Sendable, Equatable {
    private let path: String
    private let device: dev_t
    /// Nobody else's as long as the socket is open.
    private let inode: ino_t

    /// - Returns: `nil` when none is there.
    public init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
        (self.path, device, inode) = (path, status.st_dev, status.st_ino)
    }

    /// Removes it, so that nobody connects any more; not the one that another process has put in its place meanwhile. Called while the socket is open.
    public func remove() {
        if SocketFile(path) == self { unlink(path) }
    }
}
