import Foundation

/// One session of the PostgreSQL protocol, for what psql cannot show: several that stay open at a time. Simple queries alone, and no password.
public final class PostgresSession {
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    private let client: RawClient
    private var received: [UInt8] = []

    public init(port: Int, user: String = "postgres", database: String = "shop") throws {
        client = try RawClient(port: port)
        var startup = Self.bytes(UInt32(3 << 16))
        for word in ["user", user, "database", database] { startup += Array(word.utf8) + [0] }
        startup.append(0)
        client.send(Self.bytes(UInt32(startup.count + 4)) + startup)
        _ = try untilReady()
    }

    /// - Returns: the first value of the last row; empty without one.
    /// - Throws: the server's error.
    @discardableResult
    public func value(_ sql: String) throws -> String {
        let text = Array(sql.utf8) + [0]
        client.send([UInt8(ascii: "Q")] + Self.bytes(UInt32(text.count + 4)) + text)
        return try untilReady()
    }

    /// Sends a message, or the beginning of one, and waits for nothing.
    /// - Parameter length: that it says it has; `nil` for what it has.
    public func send(_ kind: Character, _ payload: [UInt8], length: Int? = nil) {
        client.send([kind.asciiValue ?? 0] + Self.bytes(UInt32(clamping: 4 + (length ?? payload.count))) + payload)
    }

    private func untilReady() throws -> String {
        var (value, failure) = ("", nil as String?)
        while true {
            let (kind, payload) = try message()
            switch kind {
            case UInt8(ascii: "Z"):
                if let failure { throw Failure(description: failure) }
                return value
            case UInt8(ascii: "D") where payload.count >= 6:
                let count = Int(Int32(bitPattern: Self.number(payload[2..<6])))
                value = count > 0 ? String(decoding: payload.dropFirst(6).prefix(count), as: UTF8.self) : ""
            case UInt8(ascii: "E"):
                failure = payload.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
                if failure?.hasPrefix("SFATAL") == true { throw Failure(description: failure ?? "") }
            default: break
            }
        }
    }

    private func message() throws -> (UInt8, [UInt8]) {
        let end = Date() + 20
        while true {
            if received.count >= 5 {
                let count = Int(Self.number(received[1..<5])) + 1
                if count >= 5, received.count >= count {
                    defer { received.removeFirst(count) }
                    return (received[0], Array(received[5..<count]))
                }
            }
            guard Date() < end, !client.isClosedByPeer else { throw Failure(description: "no answer: \(received)") }
            received += client.takeBytes(milliseconds: 50)
        }
    }

    private static func bytes(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
}
