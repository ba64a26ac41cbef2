import Foundation

/// The file that says which process serves. It is locked as long as that process runs, so a file that a crash left behind is told from
/// one that holds.
final class PidFile: Sendable {
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    private let path: String
    private let descriptor: Int32

    /// Takes the file for this process. The number is written by ``announce()``, once the process hears signals.
    /// - Throws: when another process holds it, or it cannot be written.
    init(_ path: String) throws(Problem) {
        self.path = path
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw Problem(description: "the pidfile \(path) cannot be written: \(Self.errorText)") }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                throw Problem(description: "the pidfile \(path) is held by another process")
            }
            var (locked, found) = (stat(), stat())
            if fstat(descriptor, &locked) == 0, stat(path, &found) == 0, (locked.st_dev, locked.st_ino) == (found.st_dev, found.st_ino) {
                self.descriptor = descriptor
                return
            }
            // Between the two the process before has removed it: nobody would find this one.
            close(descriptor)
        }
    }

    func announce() {
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(descriptor, 0) == 0 else { return }
        _ = pwrite(descriptor, text, text.count, 0)
    }

    /// Removed before it is unlocked: whoever takes the lock then has a file of its own.
    func remove() {
        unlink(path)
        close(descriptor)
    }

    /// The process that holds the file.
    /// - Throws: when nobody does.
    static func process(_ path: String) throws(Problem) -> Int32 {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Problem(description: "the pidfile \(path) cannot be read: \(errorText)") }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_SH | LOCK_NB) != 0 else {
            throw Problem(description: "the pidfile \(path) is held by no process: none is running")
        }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = max(0, read(descriptor, &bytes, bytes.count))
        let text = String(decoding: bytes[..<count], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let number = Int32(text), number > 1 else { throw Problem(description: "the pidfile \(path) has no process number yet") }
        return number
    }

    private static var errorText: String { String(cString: strerror(errno)) }
}
