public import NIOCore

/// The fields of an ErrorResponse or NoticeResponse that decide something.
/// - Source: PostgreSQL 15, "Error and Notice Message Fields".
public struct ErrorFields: Sendable, Equatable {
    /// `ERROR`, `FATAL`, `PANIC`, never translated.
    public var severity = ""
    /// Five characters, as they were sent.
    public var sqlState = ""
    public var message = ""
    /// The function of PostgreSQL's that says it; never translated.
    public var routine = ""

    /// "cached plan must not change result type": what a prepared statement gives has changed since it was prepared.
    public var isOutdatedPlan: Bool { sqlState == "0A000" && routine == "RevalidateCachedQuery" }

    /// "bind message has … result formats but query has … columns".
    public var isResultFormatMismatch: Bool { sqlState == "08P01" && routine == "PortalSetResultFormat" }

    /// What PostgreSQL says of an outdated plan, and drivers know what to do about.
    public static var outdatedPlan: ErrorFields {
        var fields = ErrorFields(severity: "ERROR", sqlState: "0A000", message: "cached plan must not change result type")
        fields.routine = "RevalidateCachedQuery"
        return fields
    }

    public init(severity: String, sqlState: String, message: String) {
        self.severity = severity
        self.sqlState = sqlState
        self.message = message
    }

    /// Reads the payload, which follows type and length. Other fields are skipped.
    /// - Returns: `nil` when it does not follow the format.
    public init?(payload: ByteBuffer) {
        var payload = payload
        var localized = ""
        while let field = payload.readInteger(as: UInt8.self) {
            if field == 0 {
                if severity.isEmpty { severity = localized }
                return
            }
            guard let value = payload.readNullTerminatedString() else { return nil }
            switch field {
            case UInt8(ascii: "V"): severity = value
            case UInt8(ascii: "S"): localized = value
            case UInt8(ascii: "C"): sqlState = value
            case UInt8(ascii: "M"): message = value
            case UInt8(ascii: "R"): routine = value
            default: break
            }
        }
        return nil
    }

    /// Appends a whole ErrorResponse.
    public func write(to buffer: inout ByteBuffer) {
        BackendMessage.write(BackendKind.errorResponse, to: &buffer) { buffer in
            for (field, value) in [("S", severity), ("V", severity), ("C", sqlState), ("M", message), ("R", routine)] where field != "R" || !value.isEmpty {
                buffer.writeString(field)
                buffer.writeNullTerminatedString(value.prefix { $0 != "\0" }.description)
            }
            buffer.writeInteger(UInt8(0))
        }
    }
}
