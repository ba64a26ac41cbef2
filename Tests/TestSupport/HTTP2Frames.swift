/// Frames as bytes, right and wrong ones.
package enum HTTP2Frames {
    package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    package static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let count = UInt32(payload.count)
        var bytes: [UInt8] = Array(number(count).dropFirst())
        bytes.append(type)
        bytes.append(flags)
        bytes += number(stream)
        bytes += payload
        return bytes
    }

    package static func number(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    package static func settings(_ values: [(UInt16, UInt32)] = []) -> [UInt8] {
        var payload: [UInt8] = []
        for (setting, value) in values {
            payload += number(UInt32(setting)).suffix(2)
            payload += number(value)
        }
        return frame(4, payload)
    }

    package static let acknowledgement = frame(4, flags: 1)

    package static func frame(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] { frame(type, flags: 0, stream: 0, payload) }

    /// Fields as literals that go into no table.
    package static func block(_ fields: [(String, String)]) -> [UInt8] {
        func string(_ text: String) -> [UInt8] {
            let count = text.utf8.count
            guard count >= 127 else { return [UInt8(count)] + Array(text.utf8) }
            var prefix: [UInt8] = [127]
            var rest = count - 127
            while rest >= 128 {
                prefix.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            prefix.append(UInt8(rest))
            return prefix + Array(text.utf8)
        }
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes.append(0)
            bytes += string(name)
            bytes += string(value)
        }
        return bytes
    }

    package static func request(_ path: String = "/", method: String = "GET", _ fields: [(String, String)] = []) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")] + fields
    }

    package static func headers(_ stream: UInt32, _ fields: [(String, String)] = request(), endsStream: Bool = true, endsHeaders: Bool = true) -> [UInt8] {
        frame(1, flags: (endsStream ? 1 : 0) | (endsHeaders ? 4 : 0), stream: stream, block(fields))
    }

    package static func data(_ stream: UInt32, _ bytes: [UInt8], endsStream: Bool = false) -> [UInt8] {
        frame(0, flags: endsStream ? 1 : 0, stream: stream, bytes)
    }

    /// The same of so many streams, from the first on. Written for the compiler, which takes minutes for it as one expression.
    package static func streams(_ count: Int, _ frames: (UInt32) -> [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for number in 0..<UInt32(count) { bytes += frames(number * 2 + 1) }
        return bytes
    }

    package static func times(_ count: Int, _ frame: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<count { bytes += frame }
        return bytes
    }

    package static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { frame(3, flags: 0, stream: stream, number(code)) }
    package static func window(_ stream: UInt32, _ count: UInt32) -> [UInt8] { frame(8, flags: 0, stream: stream, number(count)) }
    package static func ping() -> [UInt8] { frame(6, [UInt8](repeating: 7, count: 8)) }

    package struct Frame {
        package let type: UInt8
        package let flags: UInt8
        package let stream: UInt32
        package let payload: [UInt8]

        package var endsStream: Bool { (type == 0 || type == 1) && flags & 1 != 0 }

        package func number(at offset: Int) -> UInt32 { payload.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
    }

    /// Takes whole frames from the front.
    package static func take(_ bytes: inout [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var position = 0
        while bytes.count - position >= 9 {
            let head = bytes[position..<position + 9]
            let count = head.prefix(3).reduce(0) { $0 << 8 | Int($1) }
            guard bytes.count - position - 9 >= count else { break }
            frames.append(
                Frame(
                    type: bytes[position + 3], flags: bytes[position + 4], stream: head.suffix(4).reduce(0) { $0 << 8 | UInt32($1) },
                    payload: Array(bytes[position + 9..<position + 9 + count])))
            position += 9 + count
        }
        bytes.removeFirst(position)
        return frames
    }
}

extension HTTP2Frames {
    package static func response(_ stream: UInt32, status: Int = 200, _ fields: [(String, String)] = [("cache-control", "no-store")], endsStream: Bool = false) -> [UInt8] {
        headers(stream, [(":status", "\(status)")] + fields, endsStream: endsStream)
    }

    package static func answer(_ stream: UInt32, _ body: String, status: Int = 200, _ fields: [(String, String)] = [("cache-control", "no-store")]) -> [UInt8] {
        response(stream, status: status, fields) + data(stream, Array(body.utf8), endsStream: true)
    }

    package static func goAway(last: UInt32, _ code: UInt32 = 0) -> [UInt8] { frame(7, number(last) + number(code)) }
}
