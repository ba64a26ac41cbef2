import HTTP1Wire
import HTTPSemantics
import NIOCore

package enum Sender { case client, upstream }

/// Low limits, so that small inputs reach them.
private let limits = HTTP1Limits(
    requestLineBytesMax: 64, headBytesMax: 512, fieldCountMax: 8, chunkExtensionBytesMax: 16, trailerBytesMax: 64)

/// Whole and in two parts the bytes say the same; what is accepted breaks no rule of framing.
///
/// The first byte of the input chooses where it is split, so that libFuzzer chooses it.
package func checkMessages(_ input: UnsafeBufferPointer<UInt8>, sender: Sender) {
    guard let choice = input.first else { return }
    let bytes = Array(input.dropFirst())
    let split = bytes.count * Int(choice) / 256
    let whole = read([bytes[...]], sender)
    let inParts = read([bytes[..<split], bytes[split...]], sender)
    precondition(whole == inParts, "split at \(split): \(inParts), whole: \(whole)")
}

/// What must be the same however the bytes are split.
private struct Outcome: Equatable {
    var heads: [[UInt8]] = []
    var bodies: [[UInt8]] = []
    var framings: [BodyFraming] = []
    var completeCount = 0
    var refusal: HTTP1Error.Code?
    var unusedCount = 0
}

private func read(_ parts: [ArraySlice<UInt8>], _ sender: Sender) -> Outcome {
    var outcome = Outcome()
    var requestParser = HTTP1RequestParser(limits: limits)
    var responseParser = HTTP1ResponseParser(limits: limits)
    var request = RequestHead()
    var response = ResponseHead()
    var decoder: HTTP1BodyDecoder?
    var buffer = ByteBuffer()
    func add(_ framing: BodyFraming, _ fields: FieldSection) {
        checkHead(framing, fields, sender)
        outcome.framings.append(framing)
        outcome.heads.append(fields.bytes)
        outcome.bodies.append([])
        decoder = HTTP1BodyDecoder(framing, limits: limits)
    }
    for part in parts {
        buffer.writeBytes(part)
        do throws(HTTP1Error) {
            reading: while true {
                let before = buffer.readableBytes
                defer { precondition(buffer.readableBytes <= before) }
                if decoder == nil {
                    switch sender {
                    case .client:
                        guard try requestParser.parse(&buffer, into: &request) else { break reading }
                        add(request.framing, request.fields)
                        checkTarget(request)
                    case .upstream:
                        guard try responseParser.parse(&buffer, into: &response, answering: .get) else { break reading }
                        precondition((100...999).contains(response.status))
                        add(response.framing, response.fields)
                    }
                }
                switch try decoder!.next(&buffer) {
                case .needMore: break reading
                case .bytes(let slice):
                    precondition(slice.readableBytes > 0)
                    outcome.bodies[outcome.bodies.count - 1] += slice.readableBytesView
                case .end:
                    if case .length(let count) = outcome.framings.last { precondition(outcome.bodies.last?.count == count) }
                    for line in decoder!.trailers.lines { precondition(line.name.isAllowedInTrailers) }
                    outcome.completeCount += 1
                    decoder = nil
                }
            }
        } catch {
            precondition(sender == .client || decoder != nil || error.status == 502)
            outcome.refusal = error.code
            return outcome
        }
    }
    outcome.unusedCount = buffer.readableBytes
    return outcome
}

/// What no accepted head may have, looked for in a way of its own.
private func checkHead(_ framing: BodyFraming, _ fields: FieldSection, _ sender: Sender) {
    precondition(fields.lines.count <= limits.fieldCountMax && fields.bytes.count <= 2 * limits.headBytesMax)
    let lengths = fields.count(of: .contentLength)
    let codings = fields.count(of: .transferEncoding)
    precondition(lengths <= 1 && codings <= 1 && lengths + codings <= 1, "two framings")
    if case .chunked = framing { precondition(codings == 1) }
    if case .length = framing { precondition(lengths == 1) }
    if sender == .client { precondition(fields.count(of: .host) <= 1) }
    for index in fields.lines.indices {
        let line = fields.lines[index]
        for byte in fields.bytes[Int(line.nameStart)..<Int(line.nameStart) + Int(line.nameCount)] {
            precondition(byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: ":"), "a byte of a name")
        }
        let value = fields.bytes[Int(line.valueStart)..<Int(line.valueStart) + Int(line.valueCount)]
        for byte in value { precondition(byte == 0x09 || byte >= 0x20 && byte != 0x7F, "a byte of a value") }
        precondition(value.first != 0x20 && value.first != 0x09 && value.last != 0x20 && value.last != 0x09)
    }
}

private func checkTarget(_ head: RequestHead) {
    precondition(!head.target.isEmpty)
    for byte in head.fields.bytes[head.target] {
        precondition(byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "#"), "a byte of a target")
    }
    precondition(head.minorVersion == 0 || !head.authority.isEmpty)
    for byte in head.fields.bytes[head.authority] { precondition(byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "@")) }
}

/// A body decoder alone: the first byte chooses the framing, the second the split.
package func checkBody(_ input: UnsafeBufferPointer<UInt8>) {
    guard input.count >= 2 else { return }
    let framing: BodyFraming = [.chunked, .chunked, .length(Int(input[0] >> 2)), .untilClose][Int(input[0] & 3)]
    let bytes = Array(input.dropFirst(2))
    let split = bytes.count * Int(input[1]) / 256
    let whole = readBody([bytes[...]], framing)
    let inParts = readBody([bytes[..<split], bytes[split...]], framing)
    precondition(whole == inParts, "split at \(split): \(inParts), whole: \(whole)")
}

private struct BodyOutcome: Equatable {
    var bytes: [UInt8] = []
    var trailers: [UInt8] = []
    var isComplete = false
    var refusal: HTTP1Error.Code?
    var unusedCount = 0
}

private func readBody(_ parts: [ArraySlice<UInt8>], _ framing: BodyFraming) -> BodyOutcome {
    var outcome = BodyOutcome()
    var decoder = HTTP1BodyDecoder(framing, limits: limits)
    var buffer = ByteBuffer()
    var givenCount = 0
    do throws(HTTP1Error) {
        for part in parts {
            buffer.writeBytes(part)
            givenCount += part.count
            while case .bytes(let slice) = try decoder.next(&buffer) { outcome.bytes += slice.readableBytesView }
        }
        precondition(outcome.bytes.count + buffer.readableBytes <= givenCount, "more came out than went in")
        if decoder.isComplete {
            if case .length(let count) = framing { precondition(outcome.bytes.count == count) }
        } else {
            try decoder.inputClosed()
            precondition(framing == .untilClose, "a body cut short is complete")
            precondition(buffer.readableBytes == 0 && outcome.bytes.count == givenCount)
        }
        outcome.isComplete = true
    } catch {
        outcome.refusal = error.code
    }
    outcome.trailers = decoder.trailers.bytes
    // Of refused bytes it does not matter how many came.
    if outcome.refusal == nil { outcome.unusedCount = buffer.readableBytes }
    return outcome
}
