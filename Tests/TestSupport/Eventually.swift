import Foundation

/// Asks until the answer is yes: for what another process or thread does in its own time.
/// - Returns: `false` when it still is no after the time.
public func eventually(seconds: Double = 20, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while true {
        if try condition() { return true }
        if Date() > end { return false }
        usleep(10_000)
    }
}
