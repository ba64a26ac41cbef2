// What the pooler reads of clients and servers.
//
// 1. `frames`, `startup` and `scram` read the input as one side's bytes; its first byte chooses what differs from connection to connection.
// 2. `session` reads it as a conversation: a byte that says whose turn it is and how much comes, and so many bytes; both sides may say anything.
// 3. `sql` reads it as a statement's text.

import NIOCore
@testable import Pooler
import PostgresWire
import Transport

/// A stream of messages, from whichever side: where they begin, which statement they name, what is in them.
package func checkFrames(_ input: UnsafeBufferPointer<UInt8>) {
    let buffer = ByteBuffer(bytes: input)
    var at = 0
    walk: while true {
        switch MessageFraming.head(in: buffer, at: at) {
        case .incomplete:
            precondition(buffer.writerIndex - at < MessageFraming.headBytes, "a head is there")
            break walk
        case .malformed: break walk
        case .message(let head):
            precondition(head.bytes >= MessageFraming.headBytes && head.bytes <= MessageFraming.messageBytesMax, "a message beyond its limits")
            checkName(head, in: buffer, at: at)
            var framing = MessageFraming()
            let passed = framing.pass(head.bytes, available: buffer.writerIndex - at)
            precondition(passed == min(head.bytes, buffer.writerIndex - at) && framing.outstandingBytes == head.bytes - passed, "bytes got lost")
            guard framing.isBetweenMessages, let payload = buffer.getSlice(at: at + MessageFraming.headBytes, length: head.bytes - MessageFraming.headBytes)
            else { break walk }
            checkPayload(payload)
            at += head.bytes
        }
    }
}

/// Another name in the place of a statement's: the message names that one then, and is as much longer.
private func checkName(_ head: MessageFraming.Head, in buffer: ByteBuffer, at index: Int) {
    _ = StatementName.hasPortal(head, in: buffer, at: index)
    _ = Deallocation.name(head, in: buffer, at: index)
    guard case .name(let place) = StatementName.find(head, in: buffer, at: index) else { return }
    precondition(place.index + place.length < min(index + head.bytes, buffer.writerIndex), "a name beyond its message")
    guard index + head.bytes <= buffer.writerIndex else { return }
    var output = ByteBuffer()
    let name = Array("headrace_4711".utf8)
    let rest = place.replace(with: name, head, in: buffer, at: index, to: &output)
    if let end = buffer.getSlice(at: rest, length: index + head.bytes - rest) { output.writeImmutableBuffer(end) }
    guard case .message(let replaced) = MessageFraming.head(in: output, at: output.readerIndex) else { preconditionFailure("no message any more") }
    precondition(replaced.kind == head.kind && replaced.bytes == output.readableBytes, "a length that lies")
    precondition(replaced.bytes == head.bytes - place.length + name.count, "more than the name has changed")
    guard case .name(let found) = StatementName.find(replaced, in: output, at: output.readerIndex) else { preconditionFailure("no name any more") }
    precondition(output.getBytes(at: found.index, length: found.length) == name, "another name")
}

/// Whatever kind of message it is taken for.
private func checkPayload(_ payload: ByteBuffer) {
    if let fields = ErrorFields(payload: payload) {
        var again = ByteBuffer()
        fields.write(to: &again)
        again.moveReaderIndex(forwardBy: MessageFraming.headBytes)
        precondition(ErrorFields(payload: again) == fields, "an error does not come back")
    }
    if let request = AuthenticationRequest(payload: payload), !request.isUnsupported {
        var again = ByteBuffer()
        request.write(to: &again)
        precondition(MessageFraming.head(in: again, at: again.readerIndex) != .malformed, "a request without a frame")
    }
    _ = BackendMessage.parameterStatus(payload: payload)
    _ = BackendMessage.dataRow(payload: payload)
    _ = SessionProbe.Answer(payload: payload)
    _ = payload.withUnsafeReadableBytes { RowDescription.fingerprint(payload: $0) }
    _ = PasswordPayload.password(payload)
    _ = PasswordPayload.saslInitial(payload)
}

extension AuthenticationRequest {
    /// A server of ours asks for nothing of the kind: it is read, and never written.
    fileprivate var isUnsupported: Bool {
        if case .unsupported = self { true } else { false }
    }
}

/// The beginning of a client connection; the first byte says whether TLS is to be had, whether a balancer speaks first, and where it is cut.
package func checkStartup(_ input: UnsafeBufferPointer<UInt8>) {
    guard let choice = input.first else { return }
    let bytes = Array(input.dropFirst())
    let split = bytes.count * Int(choice >> 2) / 63
    var startup = ClientStartup(offersTLS: choice & 1 != 0)
    var buffer = ByteBuffer()
    var awaitsHeader = choice & 2 != 0
    for piece in [bytes[..<split], bytes[split...]] {
        buffer.writeBytes(piece)
        if awaitsHeader {
            let before = buffer.readableBytes
            switch ProxyHeader.read(from: &buffer) {
            case .incomplete:
                precondition(buffer.readableBytes == before && before <= ProxyHeader.bytesMax, "a header without an end")
                continue
            case .malformed: return
            case .itself, .unknown: awaitsHeader = false
            case .client(let client):
                precondition((0...65_535).contains(client.address.port ?? -1), "a port that is none")
                awaitsHeader = false
            }
        }
        answers: while true {
            switch startup.received(&buffer) {
            case .wait: break answers
            case .decline: continue
            case .encrypt, .encryptDirectly, .cancel, .close: return
            case .refuse(let error):
                precondition(error.severity == "FATAL" && error.sqlState.utf8.count == 5 && !error.message.isEmpty, "no proper refusal")
                return
            case .login(let login):
                precondition(!login.startup.user.isEmpty && login.parameters.count <= ParameterSets.parametersMax, "a login beyond its limits")
                var parameters = login.parameters
                ClientStartup.Login.addClientAddress("192.0.2.7:4711", to: &parameters)
                precondition(parameters.contains { $0.value.hasSuffix("192.0.2.7:4711") && $0.value.utf8.count <= 63 + 14 }, "the address got lost")
                return
            }
        }
        precondition(buffer.readableBytes <= StartupPacket.bytesMax, "more than a startup packet may have")
    }
}

/// Logins, with messages that are parted by line ends; the first byte chooses who reads them.
package func checkSCRAM(_ input: UnsafeBufferPointer<UInt8>) {
    guard let choice = input.first else { return }
    let messages = input.dropFirst().split(separator: 0x0A, maxSplits: 7, omittingEmptySubsequences: false).map(Array.init)
    switch choice & 3 {
    case 0: checkClientLogin(messages, method: [.scramSHA256, .md5, .password][Int(choice >> 2) % 3], bindsChannel: choice & 0x80 != 0)
    case 1: checkSCRAMClient(messages)
    case 2: checkServerLogin(Array(input.dropFirst()))
    default:
        let text = String(decoding: messages.first ?? [], as: UTF8.self)
        if let secret = SCRAMSecret(text) { precondition(SCRAMSecret(secret.text) == secret, "a secret does not come back") }
        _ = SASLprep.prepare(Array(text.utf8))
    }
}

/// Nobody is let in who does not know the password, and no fuzzer does.
private func checkClientLogin(_ messages: [[UInt8]], method: AuthenticationMethod, bindsChannel: Bool) {
    var applicant = ClientLogin.Applicant(client: .init(user: "app", database: "shop", address: IPAddress("127.0.0.1"), hasTLS: bindsChannel))
    if bindsChannel { applicant.channelBinding = [1, 2, 3] }
    var login = ClientLogin(
        applicant, method: .fixed(method),
        randomness: .init(md5Salt: [1, 2, 3, 4], scramSalt: Array(repeating: 5, count: 16), nonce: "server", pretenceKey: [7]))
    precondition(login.started() == .lookUp(user: "app"))
    let secret = SCRAMSecret(pretendingFor: "app", key: [9])
    var action = login.passwordFound(method == .scramSHA256 ? .scram(secret) : .plain(Array("a password that no fuzzer knows".utf8)))
    for message in messages {
        guard case .ask = action else { break }
        action = login.passwordMessageReceived(ByteBuffer(bytes: message))
    }
    switch action {
    case .accept: preconditionFailure("let in")
    case .refuse(let refusal): precondition(refusal.sqlState.utf8.count == 5)
    case .ask, .lookUp, .derive: break
    }
}

/// A server that does not know the secret is not believed, and cannot make us work without end.
private func checkSCRAMClient(_ messages: [[UInt8]]) {
    guard let keys = SCRAMKeys(clientKey: Array(repeating: 1, count: 32), serverKey: Array(repeating: 2, count: 32)) else { return }
    for credential in [SCRAMClient.Credential.password(Array("secret".utf8)), .keys(keys)] {
        var client = SCRAMClient(credential, nonce: "nonce")
        guard (try? client.mechanismsOffered(["SCRAM-SHA-256"])) != nil, let first = messages.first, let action = try? client.serverFirstReceived(first)
        else { continue }
        if case .derive(let derivation) = action {
            precondition(derivation.iterations <= SCRAMSecret.iterationsMax, "work without end")
            guard (try? client.keysDerived(keys)) != nil else { continue }
        }
        for message in messages.dropFirst() { _ = try? client.serverFinalReceived(message) }
        precondition(!client.isVerified, "believed")
    }
}

private func checkServerLogin(_ bytes: [UInt8]) {
    var login = ServerLogin(user: "app", credential: .password(Array("secret".utf8)), nonce: "nonce")
    var buffer = ByteBuffer(bytes: bytes)
    while true {
        switch login.received(&buffer) {
        case .send: continue
        case .wait, .derive, .failed: return
        case .ready(let result):
            precondition(result.parameters.count <= 256, "more parameters than may be")
            return
        case .refused: return
        }
    }
}

/// One client and one server that say anything to each other through one session.
package func checkSession(_ input: UnsafeBufferPointer<UInt8>) {
    guard let choice = input.first else { return }
    var limits = PoolerConfiguration.Limits()
    (limits.preparedStatementsMax, limits.preparedTextBytesMax) = (2, 100)
    var session = ServerSession(.init(), limits: limits)
    session.renamesStatements = choice & 4 == 0
    let state = [nil, SessionState(mode: .strict), SessionState(mode: .resetAlways), SessionState(mode: .pgbouncer)][Int(choice & 3)]
    var client = ClientStatements(max: 3, session: state, texts: StatementTexts(), insight: (QueryInsight(), 0))
    var prepared = PreparedStatements()
    var (requests, answers) = (ByteBuffer(), ByteBuffer())
    var index = 1
    while index < input.count {
        let turn = input[index]
        let piece = input[(index + 1)..<min(input.count, index + 1 + Int(turn & 0x7F))]
        index += 1 + piece.count
        var output = ByteBuffer()
        if turn & 0x80 == 0 {
            requests.writeBytes(piece)
            var replies = ByteBuffer()
            let before = requests.readableBytes
            let outcome = session.requestsReceived(&requests, client: &client, prepare: { prepared.find($0) }, to: &output, replies: &replies)
            precondition(requests.readableBytes <= before, "read more than there was")
            switch outcome {
            case .sent: break
            case .terminated: return
            case .refused(let refusal):
                precondition(refusal.sqlState.rawValue.utf8.count == 5 && !refusal.message.isEmpty)
                return
            }
        } else {
            answers.writeBytes(piece)
            let outcome = session.repliesReceived(&answers, client: &client, to: &output)
            _ = session.takeRequests()
            _ = session.takeReportedChanges()
            client.countEnded(wait: 0, server: 1)
            if outcome.isLost { return }
        }
        precondition(
            session.queue.count <= ServerSession.unansweredMax && client.count <= 3 && session.statements.count <= 2, "more is kept than may be")
        if session.isQuiescent { _ = client.session?.settled() }
    }
}

/// A statement's text: what a glance takes for harmless is harmless when it is read.
package func checkSQL(_ input: UnsafeBufferPointer<UInt8>) {
    let sql = UnsafeRawBufferPointer(input)
    let effects = SQLClassifier.classify(Array(input).span)
    precondition(!HarmlessGlance.passes(sql) || effects.allSatisfy(\.isEmpty), "a glance that misses something")
    _ = QueryFingerprint.hash(sql)
    // A byte that is no text becomes three.
    precondition(QueryFingerprint.text(sql, bytesMax: 100).utf8.count <= 300, "a text beyond its limit")
    precondition(TraceParent.find(in: sql).map { $0.utf8.count == 32 } ?? true, "a trace that is none")
    _ = TraceParent.find(inName: String(decoding: input, as: UTF8.self))
    let (texts, known) = (ParsedTexts(), ParsedTexts.Meaning(text: StatementText(Array(input)), statistics: nil))
    texts.keep(sql, pool: 0, known)
    precondition((texts.find(sql, pool: 0) != nil) == (input.count <= ParsedTexts.bytesMax), "what was kept is not known")
}
