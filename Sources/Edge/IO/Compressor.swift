// Two ways to compress, because there are two kinds of body.
//
// A body that lies whole in memory is compressed in one call (`OneShotCompressor`): gzip by libdeflate, which for the same
// bytes takes about two thirds of zlib's time and does better, but cannot be fed piecewise. A body that is still on its
// way goes through a `StreamingCompressor`: gzip by zlib. Brotli and zstd come from the same library both times.
//
// The two give different bytes for the same body and level. That is why a streamed response has an entity tag of its own:
// see `EntityTagVariants`.

import CCodecs
import HTTPSemantics
import NIOCore

/// Compresses whole bodies. Keeps the codecs' memory from call to call, so each event loop or thread has one of its own.
///
/// Memory that it keeps: at most one libdeflate compressor per level used (about 0.2 MB each up to level 9, 9 MB from
/// level 10), a zstd context, and an output buffer of at most ``scratchBytesKept``. Not `Sendable` by intention.
final class OneShotCompressor {
    /// The largest body that may be compressed in one go on an event loop: about 3 ms at the fast levels, for which
    /// nobody else on that loop is served. Larger bodies are streamed.
    static let loopBytesMax = 256 << 10

    /// A scratch buffer above this size is given back after the call.
    static let scratchBytesKept = 1 << 20

    /// By level, 1…12; made when a level is first used.
    private var gzip: [OpaquePointer?] = Array(repeating: nil, count: 13)
    private var zstd: OpaquePointer?
    private var scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init() {}

    deinit {
        for case let compressor? in gzip { libdeflate_free_compressor(compressor) }
        if let zstd { ZSTD_freeCCtx(zstd) }
        scratch.deallocate()
    }

    /// The compressed body, or `nil` when the codec fails (it has no memory) or the result would not be smaller.
    ///
    /// - Parameter level: in the codec's own scale; beyond its ends the nearest is taken: gzip 1…12, brotli 0…11, zstd 1…19.
    /// - Returns: for ``ContentCoding/identity`` always `nil`: there is nothing to gain.
    func compress(_ body: ByteBuffer, as coding: ContentCoding, level: Int) -> ByteBuffer? {
        // One byte less than the body: what does not fit is not worth sending, and every codec says when it does not fit.
        let bytesMax = body.readableBytes - 1
        guard bytesMax > 0, coding != .identity else { return nil }
        if scratch.count < bytesMax {
            scratch.deallocate()
            scratch = .allocate(byteCount: bytesMax, alignment: 16)
        }
        defer {
            if scratch.count > Self.scratchBytesKept {
                scratch.deallocate()
                scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            }
        }
        let output = UnsafeMutableRawBufferPointer(rebasing: scratch[..<bytesMax])
        let count = body.withUnsafeReadableBytes { input -> Int? in
            switch coding {
            case .identity: nil
            case .gzip: compressGzip(input, level: level, into: output)
            case .brotli: Self.compressBrotli(input, level: level, into: output)
            case .zstd: compressZstd(input, level: level, into: output)
            }
        }
        guard let count, count > 0 else { return nil }
        return ByteBuffer(bytes: UnsafeRawBufferPointer(rebasing: output[..<count]))
    }

    private func compressGzip(
        _ input: UnsafeRawBufferPointer, level: Int, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let level = min(max(level, 1), 12)
        if gzip[level] == nil { gzip[level] = libdeflate_alloc_compressor(CInt(level)) }
        guard let compressor = gzip[level] else { return nil }
        // Zero means that it did not fit.
        return libdeflate_gzip_compress(compressor, input.baseAddress, input.count, output.baseAddress, output.count)
    }

    private static func compressBrotli(
        _ input: UnsafeRawBufferPointer, level: Int, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        // A window that fits the body. Brotli clears tables in proportion to the window: with 22 bits, quality 9 takes 13 ms
        // for a 39 KB page, with 16 bits 1 ms, for the same size. 16: at most 64 KB of tables' slack; 22: the format's usual
        // maximum, which every browser allows.
        let windowBits = min(max(Int.bitWidth - (input.count - 1).leadingZeroBitCount, 16), 22)
        var count = output.count
        let isDone = BrotliEncoderCompress(
            CInt(min(max(level, 0), 11)), CInt(windowBits), BROTLI_MODE_GENERIC, input.count,
            input.bindMemory(to: UInt8.self).baseAddress, &count, output.bindMemory(to: UInt8.self).baseAddress)
        return isDone == BROTLI_TRUE ? count : nil
    }

    private func compressZstd(
        _ input: UnsafeRawBufferPointer, level: Int, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        if zstd == nil { zstd = ZSTD_createCCtx() }
        guard let zstd else { return nil }
        // 19: the highest level whose window stays within the 8 MB that every client has to support (RFC 9659 §3).
        let count = ZSTD_compressCCtx(
            zstd, output.baseAddress, output.count, input.baseAddress, input.count, CInt(min(max(level, 1), 19)))
        return ZSTD_isError(count) == 0 ? count : nil
    }
}
