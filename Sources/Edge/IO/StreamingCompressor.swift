import CCodecs
import HTTPSemantics
import NIOCore

/// Compresses one body piece by piece, for responses that are larger than what is held whole, or that never end.
///
/// Belongs to one exchange on one event loop. Its memory is bounded whatever the body's length, by windows of 2^15 bytes
/// (gzip) and 2^18 bytes (brotli, zstd): see ``windowBits``. It is freed with the object.
final class StreamingCompressor {
    /// Why a stream cannot go on. The response cannot be completed then: the connection is closed.
    struct Failure: Error, Equatable {
        let coding: ContentCoding
        /// The library's own number; 0 for brotli, which has none.
        let code: Int
    }

    /// 2^18 bytes of history for brotli and zstd. A page rarely repeats itself over a longer distance, and a thousand
    /// streams at once stay below a gigabyte and a half.
    static let windowBits = 18

    /// Room that is offered to the codec at a time.
    private static let outputBytes = 4096

    private enum Encoder {
        /// At an address of its own: zlib keeps a pointer back to the structure.
        case gzip(UnsafeMutablePointer<z_stream>)
        case brotli(OpaquePointer)
        case zstd(OpaquePointer)
    }

    /// What becomes of the bytes given so far.
    private enum Operation {
        /// The codec may keep them for a better match.
        case process
        /// The client can decode all of them.
        case flush
        /// And the body ends here.
        case finish
    }

    let coding: ContentCoding
    private let encoder: Encoder
    private var isFinished = false
    /// What was given, and what came of it so far.
    private(set) var bytesIn = 0
    private(set) var bytesOut = 0
    /// That it took, and of all three what was accounted for.
    private var nanoseconds: Int64 = 0
    private var accounted = (bytesIn: 0, bytesOut: 0)

    /// - Parameter level: in the codec's own scale, the nearest valid one is taken: gzip 1…9 (zlib has no higher),
    ///   brotli 0…11, zstd 1…19.
    /// - Returns: `nil` when the codec has no memory, or for ``ContentCoding/identity``.
    init?(coding: ContentCoding, level: Int) {
        self.coding = coding
        switch coding {
        case .identity:
            return nil
        case .gzip:
            let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
            stream.initialize(to: z_stream())
            guard headrace_deflate_init_gzip(stream, CInt(min(max(level, 1), 9))) == Z_OK else {
                stream.deallocate()
                return nil
            }
            encoder = .gzip(stream)
        case .brotli:
            guard let state = BrotliEncoderCreateInstance(nil, nil, nil) else { return nil }
            BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, UInt32(min(max(level, 0), 11)))
            BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, UInt32(Self.windowBits))
            encoder = .brotli(state)
        case .zstd:
            guard let context = ZSTD_createCCtx() else { return nil }
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, CInt(min(max(level, 1), 19)))
            ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, CInt(Self.windowBits))
            encoder = .zstd(context)
        }
    }

    deinit {
        switch encoder {
        case .gzip(let stream):
            deflateEnd(stream)
            stream.deallocate()
        case .brotli(let state): BrotliEncoderDestroyInstance(state)
        case .zstd(let context): ZSTD_freeCCtx(context)
        }
    }

    /// Takes the chunk's readable bytes, and appends to `output` what the codec gives out now.
    /// - Parameter flush: whether the client must be able to decode everything up to here from what is in `output` now. It
    ///   costs a few bytes and some compression each time. With an empty chunk it only flushes.
    /// - Precondition: ``finish(into:)`` has not been called.
    func compress(_ chunk: ByteBuffer, flush: Bool, into output: inout ByteBuffer) throws(Failure) {
        precondition(!isFinished, "a chunk after the end of the compressed body")
        try run(flush ? .flush : .process, chunk, into: &output)
    }

    /// Appends the rest of the body and the format's own end.
    /// - Precondition: called once.
    func finish(into output: inout ByteBuffer) throws(Failure) {
        precondition(!isFinished, "the compressed body has ended already")
        isFinished = true
        try run(.finish, ByteBuffer(), into: &output)
    }

    /// What was compressed since this was asked for the last time, and how long that took.
    func takeWork() -> (bytesIn: Int, bytesOut: Int, nanoseconds: Int64) {
        defer { (accounted, nanoseconds) = ((bytesIn, bytesOut), 0) }
        return (bytesIn - accounted.bytesIn, bytesOut - accounted.bytesOut, nanoseconds)
    }

    private func run(_ operation: Operation, _ chunk: ByteBuffer, into output: inout ByteBuffer) throws(Failure) {
        bytesIn += chunk.readableBytes
        let before = output.readableBytes
        let started = NIODeadline.now()
        defer {
            bytesOut += output.readableBytes - before
            nanoseconds += (NIODeadline.now() - started).nanoseconds
        }
        let errorCode = chunk.withUnsafeReadableBytes { input in
            switch encoder {
            case .gzip(let stream): Self.runGzip(stream, operation, input, into: &output)
            case .brotli(let state): Self.runBrotli(state, operation, input, into: &output)
            case .zstd(let context): Self.runZstd(context, operation, input, into: &output)
            }
        }
        if let errorCode { throw Failure(coding: coding, code: errorCode) }
    }

    /// - Returns: the error's number, or `nil` when all went well; likewise below.
    private static func runGzip(
        _ stream: UnsafeMutablePointer<z_stream>, _ operation: Operation, _ input: UnsafeRawBufferPointer,
        into output: inout ByteBuffer
    ) -> Int? {
        let flush =
            switch operation {
            case .process: Z_NO_FLUSH
            case .flush: Z_SYNC_FLUSH
            case .finish: Z_FINISH
            }
        // A ByteBuffer holds less than 4 GiB, so its count fits.
        stream.pointee.next_in = input.bindMemory(to: UInt8.self).baseAddress
        stream.pointee.avail_in = UInt32(input.count)
        defer { stream.pointee.next_in = nil }
        while true {
            var status = Z_OK
            var isFull = false
            output.writeWithUnsafeMutableBytes(minimumWritableBytes: outputBytes) { room in
                let roomBytes = UInt32(clamping: room.count)
                stream.pointee.next_out = room.bindMemory(to: UInt8.self).baseAddress
                stream.pointee.avail_out = roomBytes
                status = deflate(stream, flush)
                isFull = stream.pointee.avail_out == 0
                return Int(roomBytes - stream.pointee.avail_out)
            }
            switch status {
            case Z_STREAM_END:
                return nil
            case Z_OK where operation == .finish:
                continue
            case Z_OK where operation != .finish, Z_BUF_ERROR where operation != .finish:
                // Room left over means that all input is taken and, if so asked, flushed. Z_BUF_ERROR only says that there
                // was nothing to do, as in a second flush.
                if !isFull { return nil }
            default:
                return Int(status)
            }
        }
    }

    private static func runBrotli(
        _ state: OpaquePointer, _ operation: Operation, _ input: UnsafeRawBufferPointer, into output: inout ByteBuffer
    ) -> Int? {
        let encoderOperation =
            switch operation {
            case .process: BROTLI_OPERATION_PROCESS
            case .flush: BROTLI_OPERATION_FLUSH
            case .finish: BROTLI_OPERATION_FINISH
            }
        var next = input.bindMemory(to: UInt8.self).baseAddress
        var count = input.count
        repeat {
            var isDone = BROTLI_FALSE
            output.writeWithUnsafeMutableBytes(minimumWritableBytes: outputBytes) { room in
                var roomNext = room.bindMemory(to: UInt8.self).baseAddress
                var roomCount = room.count
                isDone = BrotliEncoderCompressStream(
                    state, encoderOperation, &count, &next, &roomCount, &roomNext, nil)
                return room.count - roomCount
            }
            guard isDone == BROTLI_TRUE else { return 0 }
        } while count > 0 || BrotliEncoderHasMoreOutput(state) == BROTLI_TRUE
        return nil
    }

    private static func runZstd(
        _ context: OpaquePointer, _ operation: Operation, _ input: UnsafeRawBufferPointer, into output: inout ByteBuffer
    ) -> Int? {
        let directive =
            switch operation {
            case .process: ZSTD_e_continue
            case .flush: ZSTD_e_flush
            case .finish: ZSTD_e_end
            }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        while true {
            var remaining = 0
            output.writeWithUnsafeMutableBytes(minimumWritableBytes: outputBytes) { room in
                var destination = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                remaining = ZSTD_compressStream2(context, &destination, &source, directive)
                return destination.pos
            }
            if ZSTD_isError(remaining) != 0 { return Int(bitPattern: UInt(remaining)) }
            if source.pos == source.size && (operation == .process || remaining == 0) { return nil }
        }
    }
}
