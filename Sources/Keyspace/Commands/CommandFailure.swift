/// Why a command was not carried out, in Redis' words.
/// - Source: Redis `server.c`, `createSharedObjects`, and the commands' own texts.
enum CommandFailure: Error, Equatable {
    case wrongType
    case syntax
    case notInteger
    case notFloat
    case outOfRange
    case noSuchKey
    case outOfMemory
    case noScript
    /// Any other; begins with its code.
    case text(String)

    /// An `ERR` of these words.
    static func err(_ words: String) -> CommandFailure { .text("ERR " + words) }

    var text: String {
        switch self {
        case .wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value"
        case .syntax: "ERR syntax error"
        case .notInteger: "ERR value is not an integer or out of range"
        case .notFloat: "ERR value is not a valid float"
        case .outOfRange: "ERR index out of range"
        case .noSuchKey: "ERR no such key"
        case .outOfMemory: "OOM command not allowed when used memory > 'maxmemory'."
        case .noScript: "NOSCRIPT No matching script. Please use EVAL."
        case .text(let text): text
        }
    }
}
