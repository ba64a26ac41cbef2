import CCodecs
import HTTPSemantics
import NIOCore
import TestSupport

/// The libraries' own decoders, fed piecewise: what a client can read of the bytes so far.
enum Decoder {
    struct Failure: Error {}

    /// - Parameter isWhole: whether the body must have ended with these bytes.
    static func decode(_ buffer: ByteBuffer, _ coding: ContentCoding, isWhole: Bool = true) throws -> [UInt8] {
        var input = Array(buffer.readableBytesView)
        var output: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 64 << 10)
        var isDone = false
        let roomCount = room.count
        switch coding {
        case .identity:
            return input
        case .gzip:
            var stream = z_stream()
            guard headrace_inflate_init_gzip(&stream) == Z_OK else { throw Failure() }
            defer { inflateEnd(&stream) }
            try input.withUnsafeMutableBufferPointer { input in
                stream.next_in = UnsafePointer(input.baseAddress)
                stream.avail_in = UInt32(input.count)
                while true {
                    let status = room.withUnsafeMutableBufferPointer { room in
                        stream.next_out = room.baseAddress
                        stream.avail_out = UInt32(roomCount)
                        return inflate(&stream, Z_SYNC_FLUSH)
                    }
                    output += room[..<(roomCount - Int(stream.avail_out))]
                    if status == Z_STREAM_END {
                        isDone = stream.avail_in == 0
                        return
                    }
                    if status == Z_BUF_ERROR || (status == Z_OK && stream.avail_out > 0) { return }
                    guard status == Z_OK else { throw Failure() }
                }
            }
        case .brotli:
            guard let state = BrotliDecoderCreateInstance(nil, nil, nil) else { throw Failure() }
            defer { BrotliDecoderDestroyInstance(state) }
            try input.withUnsafeBufferPointer { input in
                var (next, count) = (input.baseAddress, input.count)
                while true {
                    var written = 0
                    let result = room.withUnsafeMutableBufferPointer { room in
                        var (roomNext, left) = (room.baseAddress, roomCount)
                        let result = BrotliDecoderDecompressStream(state, &count, &next, &left, &roomNext, nil)
                        written = roomCount - left
                        return result
                    }
                    output += room[..<written]
                    switch result {
                    case BROTLI_DECODER_RESULT_SUCCESS:
                        isDone = count == 0
                        return
                    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: return
                    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: continue
                    default: throw Failure()
                    }
                }
            }
        case .zstd:
            guard let context = ZSTD_createDCtx() else { throw Failure() }
            defer { ZSTD_freeDCtx(context) }
            try input.withUnsafeBufferPointer { input in
                var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
                while true {
                    var written = 0
                    let result = room.withUnsafeMutableBufferPointer { room in
                        var destination = ZSTD_outBuffer(dst: room.baseAddress, size: roomCount, pos: 0)
                        let result = ZSTD_decompressStream(context, &destination, &source)
                        written = destination.pos
                        return result
                    }
                    guard ZSTD_isError(result) == 0 else { throw Failure() }
                    output += room[..<written]
                    isDone = result == 0 && source.pos == source.size
                    if isDone || (source.pos == source.size && written < roomCount) { return }
                }
            }
        }
        guard isDone || !isWhole else { throw Failure() }
        return output
    }

    /// Text of a page's kind: the same bytes for the same count, and compressible.
    static func page(_ count: Int) -> [UInt8] {
        var random = SeededRandom(seed: UInt64(count))
        var bytes: [UInt8] = []
        while bytes.count < count {
            bytes += Array(
                "<tr class=\"row\"><td>\(random.next() % 10_000)</td><td>host-\(random.next() % 200).example</td></tr>\n".utf8)
        }
        return Array(bytes[..<count])
    }

    /// What no codec makes smaller.
    static func noise(_ count: Int) -> [UInt8] {
        var random = SeededRandom(seed: 9)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }
}
