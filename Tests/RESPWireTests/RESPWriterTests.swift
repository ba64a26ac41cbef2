import RESPWire
import Testing

@Suite struct RESPWriterTests {
    private func written(resp3: Bool, _ body: (inout RESPWriter) -> Void) -> String {
        var writer = RESPWriter(capacity: 1)
        writer.isRESP3 = resp3
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test func `RESP2 writes what it has no type for as something else`() {
        let text = written(resp3: false) {
            $0.map(1); $0.bulk("a"); $0.integer(12); $0.null(); $0.nullArray(); $0.double(1.5); $0.boolean(true); $0.set(0); $0.push(0)
            $0.verbatim("x"); $0.error("ERR a\r\nb")
        }
        #expect(text == "*2\r\n$1\r\na\r\n:12\r\n$-1\r\n*-1\r\n$3\r\n1.5\r\n:1\r\n*0\r\n*0\r\n$1\r\nx\r\n-ERR a  b\r\n")
    }

    @Test func `RESP3 has types of its own`() {
        let text = written(resp3: true) {
            $0.map(1); $0.bulk("a"); $0.integer(-7); $0.null(); $0.nullArray(); $0.double(1.5); $0.boolean(false); $0.set(2); $0.push(3)
            $0.verbatim("x")
        }
        #expect(text == "%1\r\n$1\r\na\r\n:-7\r\n_\r\n_\r\n,1.5\r\n#f\r\n~2\r\n>3\r\n=5\r\ntxt:x\r\n")
    }

    @Test func `memory grows as needed and is given back`() {
        var writer = RESPWriter(capacity: 1)
        let value = [UInt8](repeating: 65, count: 300_000)
        writer.bulk(value)
        #expect(writer.count == 300_000 + 11)
        writer.clear()
        writer.ok()
        #expect(writer.count == 5)
    }

    @Test func `what is too long is given up, and said, until all is forgotten`() {
        var writer = RESPWriter(capacity: 1)
        writer.bytesMax = 1000
        writer.bulk([UInt8](repeating: 65, count: 900))
        let start = writer.count
        #expect(writer.isTooLong == false)
        writer.bulk([UInt8](repeating: 65, count: 900))
        #expect(writer.isTooLong == true)
        #expect(writer.count < 1000)
        // One behind the other: no more is ever held.
        for _ in 0..<100 { writer.bulk([UInt8](repeating: 65, count: 900)) }
        #expect(writer.count < 2000)
        writer.raw([UInt8](repeating: 65, count: 5000))
        writer.truncate(to: start)
        #expect(writer.isTooLong == true)
        writer.clear()
        writer.ok()
        #expect(writer.isTooLong == false)
        #expect(writer.count == 5)
    }
}
