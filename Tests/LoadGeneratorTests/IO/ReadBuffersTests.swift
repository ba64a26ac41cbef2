import NIOCore
import NIOPosix
import Testing

@testable import LoadGenerator

@Suite struct ReadBuffersTests {
    private func place(_ buffer: ByteBuffer) -> UnsafeRawPointer? {
        buffer.withVeryUnsafeBytes { $0.baseAddress }
    }

    @Test func `memory that was given back is used again, and never while somebody holds a part of it`() {
        let buffers = ReadBuffers()
        let allocator = ByteBufferAllocator()
        var first = buffers.take(allocator)
        #expect(first.storageCapacity >= ReadBuffers.bytes && first.readableBytes == 0)
        first.writeString("a response")
        let address = place(first)
        buffers.giveBack(first)
        first = ByteBuffer()
        var second = buffers.take(allocator)
        #expect(place(second) == address && second.readableBytes == 0)
        second.writeString("another")
        let part = second.readSlice(length: 4)
        buffers.giveBack(second)
        second = ByteBuffer()
        var third = buffers.take(allocator)
        #expect(place(third) != address)
        third.writeString("overwritten")
        #expect(part.map { String(buffer: $0) } == "anot")
        // What is small, the first of a connection, is nobody's memory.
        buffers.giveBack(ByteBuffer(string: "small"))
        #expect(buffers.take(allocator).storageCapacity >= ReadBuffers.bytes)
    }

    @Test func `connections of a loop read into one memory, whatever the size of what comes`() async throws {
        // Larger than the first read, and than any one; with what a chunk's line is cut in.
        let body = String(repeating: "0123456789abcdef", count: 20_000)
        let server = try await DelayingServer(answer: { request in
            let size = [10, 5000, 70_000, body.utf8.count][request.number % 4]
            return request.number % 3 == 0
                ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(String(size, radix: 16))\r\n\(body.prefix(size))\r\n0\r\n\r\n"
                : "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n\(body.prefix(size))"
        })
        let expected = (0..<120).reduce(0) { $0 + [10, 5000, 70_000, body.utf8.count][$1 % 4] }
        let workload = try Workload(urls: [try HTTPURL(server.url + "/")], expecting: .init(body: .text(Array("01".utf8))))
        let report = try await LoadRun(LoadPlan(workload: workload, users: 7, warmUp: .zero, duration: .seconds(60), requestsMax: 120)).run()
        await server.stop()
        #expect(report.failures == [:] && report.succeeded == 120)
        #expect(server.requestCount == 120 && report.bodyBytes == expected)
    }
}
