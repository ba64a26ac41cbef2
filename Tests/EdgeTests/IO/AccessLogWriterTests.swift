import Foundation
import NIOCore
import TestSupport
import Testing

@testable import Edge

@Suite struct AccessLogWriterTests {
    /// A pipe that nobody reads is a disk that takes nothing.
    @Test func `behind a disk that takes nothing so much waits, and the rest is dropped and counted`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.url.appending(path: "log").path
        try #require(mkfifo(path, 0o600) == 0)
        let descriptor = open(path, O_RDWR | O_NONBLOCK)
        defer { close(descriptor) }
        let made = try AccessLogWriter(.file(path))
        let writer = try #require(made)
        let batch = ByteBuffer(repeating: UInt8(ascii: "x"), count: 1 << 20)
        let fitting = AccessLogWriter.waitingBytesMax >> 20
        for _ in 0..<fitting { writer.write(batch) }
        #expect(writer.droppedBytes.load(ordering: .relaxed) == 0)
        for _ in 0..<4 { writer.write(batch) }
        #expect(writer.droppedBytes.load(ordering: .relaxed) == 4 << 20)
        // It goes on where it was.
        var (count, buffer) = (0, [UInt8](repeating: 0, count: 1 << 20))
        for _ in 0..<3_000 where count < fitting << 20 {
            let got = read(descriptor, &buffer, buffer.count)
            if got > 0 { count += got } else { try await Task.sleep(for: .milliseconds(10)) }
        }
        #expect(count == fitting << 20)
        await writer.finish()
    }
}
