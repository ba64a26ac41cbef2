/// Where the program keeps what is to be there the next time.
/// - Source: XDG Base Directory Specification: `$XDG_STATE_HOME`, or else `~/.local/state`; a path that is not absolute is none.
enum StateFolder {
    /// - Returns: `nil` without a home.
    static func path(_ environment: [String: String]) -> String? {
        let state = environment["XDG_STATE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? environment["HOME"].map { $0 + "/.local/state" }
        return state.map { $0 + "/headrace" }
    }
}
