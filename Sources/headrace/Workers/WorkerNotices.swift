import CProcess
import Foundation

/// Where a layer's own process says to its supervisor what ``ServiceManager`` says to systemd: that it serves, and that it lives.
/// - Source: sd_notify(3).
enum WorkerNotices {
    static func path(of layer: Layer, in folder: String) -> String { "\(folder)/\(layer.rawValue).notices" }

    /// Hears them from now on, on a thread of its own, which ends with this process.
    /// - Parameters:
    ///   - rights: of who says them, to whom the socket belongs.
    ///   - said: who, and the lines of one datagram, such as `READY=1`. One that has ended since may have said it: datagrams wait for their turn.
    /// - Throws: when the socket cannot be made.
    static func hear(_ layer: Layer, in folder: String, _ rights: WorkerRights, said: @escaping @Sendable (pid_t, [String]) -> Void) throws {
        let path = path(of: layer, in: folder)
        guard let address = UnixAddress(path) else { throw ProcessSpawn.Failure(description: "\(path) is too long for a socket") }
        let descriptor = try rights.perform {
            let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0, headrace_want_senders(descriptor) == 0, address.withPointer({ bind(descriptor, $0, $1) }) == 0 else {
                throw ProcessSpawn.Failure(description: "\(path): \(String(cString: strerror(errno)))")
            }
            return descriptor
        }
        Thread.detachNewThread {
            var bytes = [UInt8](repeating: 0, count: 4096)
            while true {
                var sender: pid_t = 0
                let count = headrace_receive_from(descriptor, &bytes, bytes.count, &sender)
                guard count > 0 else { return }
                said(sender, String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n").map { String($0) })
            }
        }
    }
}
