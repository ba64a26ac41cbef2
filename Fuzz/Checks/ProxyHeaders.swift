import NIOCore
import Transport

/// The header of the PROXY protocol and what follows it; the first byte says where it is split.
package func checkProxyHeader(_ input: UnsafeBufferPointer<UInt8>) {
    guard let first = input.first else { return }
    let bytes = Array(input.dropFirst())
    var whole = ByteBuffer(bytes: bytes)
    let result = ProxyHeader.read(from: &whole)
    var parts = ByteBuffer(bytes: bytes.prefix(bytes.count * Int(first) / 255))
    let before = parts.readableBytes
    var early = ProxyHeader.read(from: &parts)
    if early == .incomplete {
        precondition(parts.readableBytes == before && before <= ProxyHeader.bytesMax, "a header without an end")
        parts.writeBytes(bytes.suffix(bytes.count - before))
        early = ProxyHeader.read(from: &parts)
        precondition(early == result, "whole and in two parts they mean another client")
    } else {
        precondition(early == result, "the beginning meant something else")
    }
    guard case .client(let client) = result else { return }
    for version in ProxyHeader.Version.allCases {
        var output = ByteBuffer()
        ProxyHeader.write(version, for: client, into: &output)
        precondition(ProxyHeader.read(from: &output) == .client(client) && output.readableBytes == 0, "what is written is not read as the same")
    }
}
