#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A file that belongs to the configuration, read whole before it takes effect.
enum SmallFile {
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// - Throws: `Problem` when it cannot be read, is larger, or is no UTF-8 text.
    static func read(_ path: String, bytesMax: Int) throws(Problem) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Problem(description: "the file \(path) cannot be read: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &part, part.count)
            guard count >= 0 else { throw Problem(description: "the file \(path) cannot be read: \(String(cString: strerror(errno)))") }
            if count == 0 { break }
            bytes += part[..<count]
            guard bytes.count <= bytesMax else { throw Problem(description: "the file \(path) is larger than \(bytesMax >> 10) KB") }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Problem(description: "the file \(path) is not UTF-8 text") }
        return text
    }
}
