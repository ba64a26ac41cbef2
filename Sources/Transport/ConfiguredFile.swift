import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A file that the configuration names, such as a private key.
///
/// It may be one that only root can read, and this process that of another user. Then a ``Helper`` is asked, if there is one.
public enum ConfiguredFile {
    /// Why one could not be had.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        public let path: String
        /// What follows "the file PATH".
        public let reason: String
        /// Whether it is there, perhaps, and this user may not read it.
        public let isForbidden: Bool

        public var description: String { "the file \(path) \(reason)" }

        init(_ path: String, _ reason: String) {
            (self.path, self.reason, isForbidden) = (path, reason, false)
        }

        init(_ path: String, code: Int32, after refusal: String? = nil) {
            self.path = path
            reason = "cannot be read: \(String(cString: strerror(code)))\(refusal.map { ", \($0)" } ?? "")"
            isForbidden = code == EACCES || code == EPERM
        }
    }

    /// Who opens what this process may not.
    public struct Helper: Sendable {
        let open: @Sendable (String) -> Int32?
        let refusal: String

        /// - Parameters:
        ///   - refusal: What is said of a file that is not opened either: "… Permission denied, REFUSAL".
        ///   - open: Gives a descriptor to read from, which belongs to who asks. May be called on any thread, and is waited for.
        public init(refusal: String, open: @escaping @Sendable (String) -> Int32?) {
            (self.refusal, self.open) = (refusal, open)
        }
    }

    private static let helper = Lock<Helper?>(nil)

    /// From now on whoever may not open a file asks there; said once or twice, before anything serves.
    public static func ask(_ new: Helper) { helper.withLock { $0 = new } }

    /// No file that belongs to a configuration comes near it: 16 MB.
    public static let bytesMax = 16 << 20

    /// - Returns: a descriptor to read from, which belongs to the caller.
    public static func open(_ path: String) throws(Problem) -> Int32 {
        // A pipe without a writer does not keep anybody; one with a writer is waited for.
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor < 0 else {
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
            return descriptor
        }
        let code = errno
        guard code == EACCES || code == EPERM, let helper = helper.withLock({ $0 }) else { throw Problem(path, code: code) }
        guard let descriptor = helper.open(path) else { throw Problem(path, code: code, after: helper.refusal) }
        return descriptor
    }

    /// Reads one whole.
    public static func read(_ path: String, bytesMax: Int = bytesMax) throws(Problem) -> [UInt8] {
        let descriptor = try open(path)
        defer { close(descriptor) }
        var status = stat()
        let isRegular = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            // A helper's descriptors may share their position.
            let count = isRegular ? pread(descriptor, &part, part.count, off_t(bytes.count)) : Glibc.read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Problem(path, code: errno) }
            if count == 0 { return bytes }
            bytes += part[..<count]
            guard bytes.count <= bytesMax else { throw Problem(path, "is larger than \(bytesMax >> 10) KB") }
        }
    }

    /// Reads one whole that is text.
    public static func text(_ path: String, bytesMax: Int = bytesMax) throws(Problem) -> String {
        guard let text = String(validating: try read(path, bytesMax: bytesMax), as: UTF8.self) else { throw Problem(path, "is not UTF-8 text") }
        return text
    }

    /// What the kernel knows of it, also in a folder that this user may not enter.
    static func status(_ path: String) throws(Problem) -> stat {
        var status = stat()
        if stat(path, &status) == 0 { return status }
        guard errno == EACCES else { throw Problem(path, code: errno) }
        let descriptor = try open(path)
        defer { close(descriptor) }
        guard fstat(descriptor, &status) == 0 else { throw Problem(path, code: errno) }
        return status
    }
}
