import RESPWire

/// How a deadline is written: `EX`, `PX`, `EXAT`, `PXAT`.
enum ExpiryUnit {
    case ex, px, exat, pxat

    init?(_ call: Call, _ index: Int) {
        if call.matches(index, "ex") {
            self = .ex
        } else if call.matches(index, "px") {
            self = .px
        } else if call.matches(index, "exat") {
            self = .exat
        } else if call.matches(index, "pxat") {
            self = .pxat
        } else {
            return nil
        }
    }

    /// Milliseconds since 1970 of an argument that must be positive.
    /// - Source: Redis `t_string.c`, `getExpireMillisecondsOrReply`.
    func deadline(_ call: Call, _ index: Int, command: String) throws(CommandFailure) -> Int64 {
        let value = try call.integer(index)
        guard value > 0, let deadline = milliseconds(value, now: call.now) else {
            throw .err("invalid expire time in '\(command)' command")
        }
        return deadline
    }

    /// - Returns: `nil` when 64 bits cannot say it.
    func milliseconds(_ value: Int64, now: Int64) -> Int64? {
        var value = value
        if self == .ex || self == .exat {
            let (product, isOver) = value.multipliedReportingOverflow(by: 1000)
            if isOver { return nil }
            value = product
        }
        guard self == .ex || self == .px else { return value }
        let (sum, isOver) = value.addingReportingOverflow(now)
        return isOver ? nil : sum
    }
}
