// What clients and servers of Redis' protocol send, and the rules of its users.

import Keyspace
import RESPWire

/// Requests of one connection; the first byte of the input chooses where they are split. Whole and in two parts they are the same.
package func checkCommands(_ input: UnsafeBufferPointer<UInt8>) {
    guard let choice = input.first else { return }
    let bytes = Array(input.dropFirst())
    let split = bytes.count * Int(choice) / 256
    let whole = commands([bytes.count], bytes)
    let inParts = commands([split, bytes.count], bytes)
    precondition(whole == inParts, "split at \(split): \(inParts), whole: \(whole)")
}

private struct Commands: Equatable {
    var requests: [[[UInt8]]] = []
    var refusal: RESPError?
    /// Bytes of requests that were read.
    var takenCount = 0
}

/// - Parameter ends: how many of the bytes are there, one time after the other.
private func commands(_ ends: [Int], _ bytes: [UInt8]) -> Commands {
    var outcome = Commands()
    var parser = RequestParser()
    for end in ends {
        reading: while true {
            let start = outcome.takenCount
            precondition(start <= end, "more was taken than was there")
            do throws(RESPError) {
                let result = try bytes[start..<end].withUnsafeBytesTyped { bytes throws(RESPError) in
                    let result = try parser.next(bytes)
                    if case .request = result { outcome.requests.append(arguments(parser, bytes)) }
                    return result
                }
                switch result {
                case .wait: break reading
                case .request(let count), .nothing(let count):
                    precondition(count > 0, "a request of no bytes")
                    outcome.takenCount += count
                }
            } catch {
                outcome.refusal = error
                return outcome
            }
        }
    }
    return outcome
}

private func arguments(_ parser: RequestParser, _ bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
    parser.arguments.map { argument in
        parser.isUnquoted
            ? Array(parser.unquoted[argument.offset..<argument.offset + argument.count])
            : Array(bytes[argument.offset..<argument.offset + argument.count])
    }
}

extension ArraySlice<UInt8> {
    /// `withUnsafeBytes` forgets which errors its closure throws.
    fileprivate func withUnsafeBytesTyped<Value>(_ body: (UnsafeRawBufferPointer) throws(RESPError) -> Value) throws(RESPError) -> Value {
        try withUnsafeBytes { bytes in Result { () throws(RESPError) in try body(bytes) } }.get()
    }
}

/// Replies of one connection, in RESP2 and RESP3: the parser, which makes values, and the scanner, which finds ends, say the same, whole and in
/// two parts.
package func checkReplies(_ input: UnsafeBufferPointer<UInt8>) {
    guard let choice = input.first else { return }
    let bytes = Array(input.dropFirst())
    let split = bytes.count * Int(choice) / 256
    let whole = replies([bytes.count], bytes)
    let inParts = replies([split, bytes.count], bytes)
    precondition(whole.values == inParts.values && whole.end == inParts.end, "split at \(split)")
    let ends = scanned([bytes.count], bytes)
    precondition(ends == scanned([split, bytes.count], bytes), "split at \(split): the scanner")
    // The scanner does not look at what numbers and texts are: what the parser takes, it takes too.
    precondition(ends.starts(with: whole.ends), "\(ends), read: \(whole.ends)")
}

private func replies(_ parts: [Int], _ bytes: [UInt8]) -> (values: [RESPReply], ends: [Int], end: Int) {
    var parser = ReplyParser()
    var (values, ends, start): ([RESPReply], [Int], Int) = ([], [], 0)
    for part in parts {
        while true {
            let next: (reply: RESPReply, bytes: Int)?
            do throws(RESPError) {
                next = try bytes[start..<part].withUnsafeBytesTyped { bytes throws(RESPError) in try parser.next(bytes) }
            } catch {
                return (values, ends, -1)
            }
            guard let (reply, count) = next else { break }
            precondition(count > 0 && start + count <= part, "a reply beyond the bytes that are there")
            values.append(reply)
            start += count
            ends.append(start)
        }
    }
    return (values, ends, start)
}

private func scanned(_ parts: [Int], _ bytes: [UInt8]) -> [Int] {
    var scanner = ReplyScanner()
    var (ends, index): ([Int], Int) = ([], 0)
    for part in parts {
        while true {
            // The scanner counts from the first byte that it is given.
            let found: ReplyScanner.Found?
            let before = index
            found = bytes[..<part].withUnsafeBytes { try? scanner.next($0, from: &index) }
            precondition(index >= before && index <= part, "scanned beyond the end")
            guard let found else { return ends }
            guard case .reply = found else { break }
            ends.append(index)
        }
    }
    return ends
}

/// A line of `keyspace.users`, which is what `ACL SETUSER` takes: it is accepted or refused with a reason, each time in the same way.
package func checkUser(_ input: UnsafeBufferPointer<UInt8>) {
    let line = String(decoding: input, as: UTF8.self)
    let problem = KeyspaceConfiguration.problem(ofUser: line)
    precondition(problem == KeyspaceConfiguration.problem(ofUser: line) && problem != "")
}
