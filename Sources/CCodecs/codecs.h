// The codec libraries as one module. Which of them the edge uses for what is said in Edge/IO/Compressor.swift.
#ifndef HEADRACE_CODECS_H
#define HEADRACE_CODECS_H

#define ZLIB_CONST
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

// `deflateInit2` is a macro, which Swift cannot call. 15 window bits + 16: a gzip wrapper (zlib.h, deflateInit2).
static inline int headrace_deflate_init_gzip(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}

static inline int headrace_inflate_init_gzip(z_stream *stream) {
    return inflateInit2(stream, 15 + 16);
}

#endif
