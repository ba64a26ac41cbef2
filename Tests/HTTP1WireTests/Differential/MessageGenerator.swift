import TestSupport

/// Makes requests and responses: mostly right, often odd, sometimes spoiled byte by byte.
struct MessageGenerator {
    var random: SeededRandom

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
    }

    /// One seed, one input.
    static func input(seed: UInt64) -> (bytes: [UInt8], sender: Conversation.Sender) {
        var generator = MessageGenerator(seed: seed)
        if seed % 2 == 0 { return (generator.requests(), .client) }
        return (generator.responses(), .upstream(seed % 5 == 0 ? .head : .get))
    }

    mutating func requests() -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<random.pick([1, 1, 1, 2, 3]) { bytes += request() }
        return spoiled(bytes)
    }

    mutating func responses() -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<random.pick([1, 1, 1, 2, 3]) { bytes += response() }
        return spoiled(bytes)
    }

    // MARK: Messages

    private mutating func request() -> [UInt8] {
        let method = usually(
            ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"],
            oddly: ["get", "M-SEARCH", "CONNECT", "FOO", "GE T", "", "PRI", "G\tT", "TRACE"])
        let target = usually(
            ["/", "/a/b?c=d&e=%20", "/index.html", "/x?y"],
            oddly: [
                "*", "http://a/x", "http://a", "HTTP://A?b", "https://a:443/", "a", "", "/a b", "/a#b", "/\u{E9}", "/\"{}|",
                "//b/", "a:80", "/\t", "http://u@a/", "http://b/",
            ])
        let version = usually(
            ["HTTP/1.1"],
            oddly: [
                "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "HTTP/1", "HTTP/11", "", "HTTQ/1.1",
                "HTTP/1.9",
            ])
        let space = usually([" "], oddly: ["  ", "\t", ""])
        let empty = usually([""], oddly: ["\r\n", "\r\n\r\n", "\n", "\r"])
        let host = usually(
            ["Host: a"],
            oddly: ["host:a", "Host: ", "Host: a b", "Host: b", "Host: a\r\nHost: a", "X-Host: a", "Host: a:80", "Host : a"])
        let (framing, body) = framedBody()
        return
            (empty + method + space + target + space + version + lineEnd() + host + lineEnd() + fields() + framing + lineEnd())
            .latin1 + body
    }

    private mutating func response() -> [UInt8] {
        let version = usually(
            ["HTTP/1.1"], oddly: ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "ICY", "HTTP/1.1 ", "HTTP/1"])
        let status = usually(
            ["200", "404", "500", "304", "204", "302"],
            oddly: ["100", "103", "101", "99", "2000", "20x", "600", "999", "000", "", "205"])
        let reason = usually(
            [" OK", " Not Found", " "], oddly: ["", "  ", "\tOK", " O\u{E9}", " O\u{0}K", " O\u{7F}", " O\rK", " O\tK"])
        let space = usually([" "], oddly: ["  ", "\t", ""])
        let (framing, body) = framedBody()
        return (version + space + status + reason + lineEnd() + fields() + framing + lineEnd()).latin1 + body
    }

    /// Field lines that say where a body ends, each with its line end, and the body.
    private mutating func framedBody() -> (lines: String, body: [UInt8]) {
        let content = (0..<random.pick([0, 1, 3, 10, 40])).map { _ in UInt8.random(in: 0...255, using: &random) }
        switch random.next() % 8 {
        case 0, 1: return ("", [])
        case 2, 3, 4:
            let length = usually(
                ["\(content.count)"],
                oddly: [
                    "\(content.count + 1)", "+\(content.count)", "\(content.count), \(content.count)", "", "-1", "0x3", "1 2",
                    "99999999999999999999", "18446744073709551617", "00\(content.count)", " \(content.count) ",
                ])
            let name = usually(
                ["Content-Length: "], oddly: ["content-length:", "Content-Length : ", "Content-Length:\t", "Content_Length: "])
            let line = name + length + lineEnd()
            let again = usually([""], oddly: [line, "Content-Length: 7" + lineEnd(), "Transfer-Encoding: chunked" + lineEnd()])
            return (line + again, content)
        case 5, 6:
            let coding = usually(
                ["chunked"],
                oddly: [
                    "Chunked", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", "", "xchunked", "chunked;a=b",
                    ",chunked", "chunked,", "\tchunked ", "\"chunked\"", "chunked\u{B}",
                ])
            let line = "Transfer-Encoding: " + coding + lineEnd()
            let again = usually(
                [""], oddly: [line, "Content-Length: 3" + lineEnd(), "Transfer-Encoding: identity" + lineEnd()])
            return (line + again, chunked(content))
        default:
            return ("", content)
        }
    }

    private mutating func chunked(_ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = content[...]
        while !rest.isEmpty {
            let chunk = rest.prefix(Int.random(in: 1...20, using: &random))
            rest = rest.dropFirst(chunk.count)
            let digits = String(chunk.count, radix: 16)
            let size = usually(
                [digits, digits.uppercased(), "0" + digits],
                oddly: [
                    "+" + digits, "0x" + digits, " " + digits, digits + " ", "g", "", "-1", "fffffffffffffffff",
                    "0000000000000000000" + digits,
                ])
            bytes += (size + chunkExtension() + lineEnd()).latin1 + chunk + lineEnd().latin1
        }
        let trailers = usually(
            ["", "", "X-Sum: 1\r\n"],
            oddly: [
                "ETag: \"x\"\r\n", "Host: b\r\n", " X: y\r\n", "X\r\n", "X : y\r\n", "X: \u{0}\r\n", "X: y\n",
                "Content-Length: 5\r\n",
            ])
        return bytes
            + (usually(["0", "00"], oddly: ["", "0x0", "-0", "0 "]) + chunkExtension() + lineEnd() + trailers + lineEnd())
            .latin1
    }

    private mutating func chunkExtension() -> String {
        usually(
            ["", "", ";a", ";a=b"],
            oddly: [
                ";", " ;a", ";a=\"b;c\"", ";a=\"b\\\"c\"", ";a=", ";=b", ";\u{1}", ";a b", ";a=\"b", "; a = b", ";a\rb",
                ";a;b=c;d", ";\u{E9}",
            ])
    }

    private mutating func fields() -> String {
        var lines = ""
        for _ in 0..<random.pick([0, 0, 1, 2, 4]) {
            lines +=
                usually(
                    [
                        "Accept: */*", "X-A: b", "Cookie: a=b; c=d", "Connection: keep-alive", "Vary: Accept", "ETag: \"x\"",
                        "X-Empty:", "Cache-Control:max-age=5",
                    ],
                    oddly: [
                        "Connection: close", "Connection: close, x", "Connection: x y", "Connection: \"a\"", "Connection:",
                        "Expect: 100-continue", "Expect: x", "X : y", "X\t: y", " X: y",
                        "\tX: y", "X", ": y", "X: a\u{0}b", "X: a\u{1}", "X: \u{7F}", "X: \u{E9}", "X: a\r\n b", "X: a\r\n\tb",
                        "X(: y", "\u{E9}: y", "X: a\tb", "X:  \t a \t ", "X: \u{B}a",
                        "X: a\rb", "X: a\nY: b", "@: y", "X\u{0}: y", "Keep-Alive: 5", "Proxy-Connection: close",
                        "Upgrade: websocket",
                    ]) + lineEnd()
        }
        return lines
    }

    private mutating func lineEnd() -> String {
        // Many in each message: rarer than other oddities.
        random.chance(oneIn: 400) ? random.pick(["\n", "\r", "\r\r\n", "\n\r", " \r\n", "\r\n ", ""]) : "\r\n"
    }

    private mutating func usually(_ good: [String], oddly odd: [String]) -> String {
        random.chance(oneIn: 25) ? random.pick(odd) : random.pick(good)
    }

    // MARK: Spoiling

    private mutating func spoiled(_ original: [UInt8]) -> [UInt8] {
        var bytes = original
        guard !bytes.isEmpty, random.chance(oneIn: 4) else { return bytes }
        for _ in 0..<random.pick([1, 1, 2, 3]) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch random.next() % 7 {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(random.pick([0, 9, 10, 11, 13, 32, 34, 44, 48, 58, 59, 127, 128, 255]), at: place)
            case 4: bytes.removeSubrange(place...)
            case 5: bytes.insert(contentsOf: bytes[place..<min(place + 12, bytes.count)], at: place)
            default: bytes.swapAt(place, Int.random(in: 0..<bytes.count, using: &random))
            }
        }
        return bytes
    }
}
