import CCodecs

/// Undoes a content coding, with the codecs' own decoders and not with anything of the edge.
enum Decoding {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Without knowing how long the result is.
    /// - Returns: `nil` when it is broken, or longer than ``bytesMax``.
    static func decoded(_ body: [UInt8], _ coding: String) -> [UInt8]? {
        if coding == "identity" { return body }
        var room = max(4 * body.count, 16 << 10)
        while room <= bytesMax {
            var result = [UInt8](repeating: 0, count: room)
            var count = room
            let isDone: Bool
            switch coding {
            case "gzip", "x-gzip":
                let decompressor = libdeflate_alloc_decompressor()
                defer { libdeflate_free_decompressor(decompressor) }
                isDone = libdeflate_gzip_decompress(decompressor, body, body.count, &result, room, &count) == LIBDEFLATE_SUCCESS
            case "br":
                isDone = BrotliDecoderDecompress(body.count, body, &count, &result) == BROTLI_DECODER_RESULT_SUCCESS
            case "zstd":
                count = ZSTD_decompress(&result, room, body, body.count)
                isDone = ZSTD_isError(count) == 0
            default: return nil
            }
            if isDone, count <= room { return Array(result[..<count]) }
            // Too little room, or broken: the largest tells.
            room *= 8
        }
        return nil
    }

    /// A page and its style sheets are smaller.
    static let bytesMax = 64 << 20

    /// - Parameter bytes: how many the result must have.
    static func decoded(_ body: [UInt8], _ coding: String, bytes: Int) throws -> [UInt8] {
        var result = [UInt8](repeating: 0, count: bytes)
        var count = bytes
        let isDone: Bool
        switch coding {
        case "identity":
            return body
        case "gzip":
            let decompressor = libdeflate_alloc_decompressor()
            defer { libdeflate_free_decompressor(decompressor) }
            isDone = libdeflate_gzip_decompress(decompressor, body, body.count, &result, bytes, &count) == LIBDEFLATE_SUCCESS
        case "br":
            isDone = BrotliDecoderDecompress(body.count, body, &count, &result) == BROTLI_DECODER_RESULT_SUCCESS
        case "zstd":
            count = ZSTD_decompress(&result, bytes, body, body.count)
            isDone = ZSTD_isError(count) == 0
        default:
            throw Failure(description: "a content coding that nobody asked for: \(coding)")
        }
        guard isDone, count == bytes else { throw Failure(description: "a \(coding) body that does not decode to its \(bytes) bytes") }
        return result
    }
}
