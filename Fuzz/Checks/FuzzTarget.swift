/// What is fuzzed, by the name of its corpus: by libFuzzer (`Fuzz/run`), and by the seeded mutations of `FuzzTests`.
package enum FuzzTarget: String, CaseIterable, Sendable {
    case request, response, body, fields, snapshot, payload, log, frames, startup, scram, session, sql, command, reply, user, headers, schedule, origin, proxy

    /// - Precondition: what must hold for every input; a trap is a find.
    package func check(_ input: UnsafeBufferPointer<UInt8>) {
        switch self {
        case .request: checkMessages(input, sender: .client)
        case .response: checkMessages(input, sender: .upstream)
        case .body: checkBody(input)
        case .fields: checkFields(input)
        case .snapshot: checkSnapshot(input)
        case .payload: checkPayload(input)
        case .log: checkLog(input)
        case .frames: checkFrames(input)
        case .startup: checkStartup(input)
        case .scram: checkSCRAM(input)
        case .session: checkSession(input)
        case .sql: checkSQL(input)
        case .command: checkCommands(input)
        case .reply: checkReplies(input)
        case .user: checkUser(input)
        case .headers: checkHeaderBlocks(input)
        case .schedule: checkSchedule(input)
        case .origin: checkOrigin(input)
        case .proxy: checkProxyHeader(input)
        }
    }
}

/// A planted crash: who does not find it, finds nothing.
package func checkCanary(_ input: UnsafeBufferPointer<UInt8>) {
    if input.starts(with: "tweet".utf8) { preconditionFailure("the canary sings") }
}
