import UnixSignals

/// Signals that ask something of who serves, heard from the beginning: one that comes before anybody can do what it asks for waits, where it would end the
/// process. SIGTERM and SIGINT end who has not begun to serve.
struct AskingSignals: Sendable {
    /// SIGHUP: the configuration is to be read anew.
    let hangups: UnixSignalsSequence
    /// SIGUSR1: log files were moved away.
    let users: UnixSignalsSequence

    init() async {
        hangups = await UnixSignalsSequence(trapping: .sighup)
        users = await UnixSignalsSequence(trapping: .sigusr1)
    }
}
