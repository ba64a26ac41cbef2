import CCodecs

/// Undoes a content coding, with the codecs' own decoders and not with anything of the edge.
enum Decoding {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

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
