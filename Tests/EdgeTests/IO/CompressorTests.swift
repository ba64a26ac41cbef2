import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct OneShotCompressorTests {
    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd], [-1, 0, 1, 6, 9, 11, 12, 19, 99])
    func `what is compressed at any level decodes to the same bytes`(coding: ContentCoding, level: Int) throws {
        let compressor = OneShotCompressor()
        for count in [300, 8_000, 39_000] {
            let body = Decoder.page(count)
            let compressed = try #require(compressor.compress(ByteBuffer(bytes: body), as: coding, level: level))
            #expect(compressed.readableBytes < count)
            #expect(try Decoder.decode(compressed, coding) == body)
        }
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `what does not get smaller gives nothing`(coding: ContentCoding) {
        let compressor = OneShotCompressor()
        for count in [0, 1, 2, 10, 1000, 100_000] {
            #expect(compressor.compress(ByteBuffer(bytes: Decoder.noise(count)), as: coding, level: 6) == nil, "\(count)")
        }
    }

    @Test func `identity gives nothing`() {
        #expect(OneShotCompressor().compress(ByteBuffer(bytes: Decoder.page(1000)), as: .identity, level: 1) == nil)
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `a compressor is as good after a large and an incompressible body as before`(coding: ContentCoding) throws {
        let compressor = OneShotCompressor()
        let body = ByteBuffer(bytes: Decoder.page(5_000))
        let first = compressor.compress(body, as: coding, level: 1)
        _ = compressor.compress(ByteBuffer(bytes: Decoder.page(3 << 20)), as: coding, level: 1)
        _ = compressor.compress(ByteBuffer(bytes: Decoder.noise(1000)), as: coding, level: 1)
        #expect(compressor.compress(body, as: coding, level: 1) == first)
        var slice = ByteBuffer(string: "in front")
        slice.writeBytes(Decoder.page(5_000))
        slice.moveReaderIndex(forwardBy: 8)
        #expect(compressor.compress(slice, as: coding, level: 1) == first, "only the readable bytes count")
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `more effort makes a page smaller`(coding: ContentCoding) throws {
        let compressor = OneShotCompressor()
        let body = ByteBuffer(bytes: Decoder.page(39_000))
        let fast = try #require(compressor.compress(body, as: coding, level: 1))
        let high = try #require(compressor.compress(body, as: coding, level: 9))
        #expect(high.readableBytes < fast.readableBytes)
    }
}

@Suite struct StreamingCompressorTests {
    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd], [1, 2, 7, 100, 4096, 39_000])
    func `a body in parts decodes to the whole`(coding: ContentCoding, size: Int) throws {
        let body = Decoder.page(size < 7 ? 2_000 : 39_000)
        for level in [1, 9] {
            let stream = try #require(StreamingCompressor(coding: coding, level: level))
            var output = ByteBuffer()
            for start in stride(from: 0, to: body.count, by: size) {
                try stream.compress(ByteBuffer(bytes: body[start..<min(start + size, body.count)]), flush: false, into: &output)
            }
            try stream.finish(into: &output)
            #expect(try Decoder.decode(output, coding) == body)
        }
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `after a flush a client can read everything so far`(coding: ContentCoding) throws {
        let stream = try #require(StreamingCompressor(coding: coding, level: 1))
        var (sent, output) = ([UInt8](), ByteBuffer())
        for number in 0..<50 {
            let event = Array("data: \(number)\n\n".utf8)
            sent += event
            if number % 2 == 0 {
                try stream.compress(ByteBuffer(bytes: event), flush: true, into: &output)
            } else {
                try stream.compress(ByteBuffer(bytes: event), flush: false, into: &output)
                try stream.compress(ByteBuffer(), flush: true, into: &output)
            }
            #expect(try Decoder.decode(output, coding, isWhole: false) == sent)
        }
        try stream.compress(ByteBuffer(), flush: true, into: &output)
        try stream.finish(into: &output)
        #expect(try Decoder.decode(output, coding) == sent)
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `an empty body is a whole one`(coding: ContentCoding) throws {
        let stream = try #require(StreamingCompressor(coding: coding, level: 1))
        var output = ByteBuffer()
        try stream.finish(into: &output)
        #expect(try Decoder.decode(output, coding) == [])
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `a body cut short before its end is told from a whole one`(coding: ContentCoding) throws {
        let stream = try #require(StreamingCompressor(coding: coding, level: 1))
        var output = ByteBuffer()
        try stream.compress(ByteBuffer(bytes: Decoder.page(10_000)), flush: true, into: &output)
        #expect(throws: Decoder.Failure.self) { try Decoder.decode(output, coding) }
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `incompressible parts pass`(coding: ContentCoding) throws {
        let stream = try #require(StreamingCompressor(coding: coding, level: 1))
        let body = Decoder.noise(300_000)
        var output = ByteBuffer()
        try stream.compress(ByteBuffer(bytes: body), flush: false, into: &output)
        try stream.finish(into: &output)
        #expect(try Decoder.decode(output, coding) == body)
    }

    @Test func `there is no stream for identity`() {
        #expect(StreamingCompressor(coding: .identity, level: 1) == nil)
    }
}
