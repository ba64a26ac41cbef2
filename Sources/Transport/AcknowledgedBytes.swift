import Glibc
public import NIOCore

extension ChannelHandlerContext {
    /// Bytes that the peer's side has acknowledged since the connection began; `nil` where no TCP is. Of a peer that reads slowly the kernel
    /// takes more from us only when a third of its send buffer is free, up to 1.3 MiB: this shows each segment that went.
    ///
    /// tcp(7), `TCP_INFO`, of which `tcpi_bytes_acked` is a field since Linux 4.2.
    public var acknowledgedBytes: Int? {
        withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { info in
            var count = socklen_t(info.count)
            let status = try? pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                getsockopt($0, CInt(IPPROTO_TCP), TCP_INFO, info.baseAddress, &count)
            }
            guard status == 0, Int(count) >= Self.acknowledgedOffset + MemoryLayout<UInt64>.size else { return nil }
            return Int(clamping: info.load(fromByteOffset: Self.acknowledgedOffset, as: UInt64.self))
        }
    }

    /// Of `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h, which never changes but at its end; libc's copy ends before it).
    private static let acknowledgedOffset = 120
}
