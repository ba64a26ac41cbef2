import NIOCore

/// A cell of a result.
enum ConsoleCell: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
    case text(String)
    case number(Int64)
    case null

    init(stringLiteral value: String) { self = .text(value) }
    init(nilLiteral: ()) { self = .null }
    init(_ number: some BinaryInteger) { self = .number(Int64(clamping: number)) }
    init(_ text: String?) { self = text.map { .text($0) } ?? .null }
    /// PgBouncer writes 0 and 1.
    init(_ flag: Bool) { self = .number(flag ? 1 : 0) }
}

/// Writes what the console answers, as messages of the protocol, all in text format.
/// - Source: PostgreSQL 15, "Message Formats".
enum ConsoleReply {
    /// RowDescription.
    static func writeDescription(of columns: [ConsoleTable.Column], to buffer: inout ByteBuffer) {
        write("T", to: &buffer) { buffer in
            buffer.writeInteger(Int16(clamping: columns.count))
            for column in columns {
                buffer.writeNullTerminatedString(column.name)
                // No table, no column of one.
                buffer.writeInteger(Int32(0))
                buffer.writeInteger(Int16(0))
                buffer.writeInteger(column.type.objectID)
                buffer.writeInteger(column.type.size)
                // No type modifier; text.
                buffer.writeInteger(Int32(-1))
                buffer.writeInteger(Int16(0))
            }
        }
    }

    /// DataRow.
    static func write(row: [ConsoleCell], to buffer: inout ByteBuffer) {
        write("D", to: &buffer) { buffer in
            buffer.writeInteger(Int16(clamping: row.count))
            for cell in row {
                switch cell {
                case .null: buffer.writeInteger(Int32(-1))
                case .text(let text): write(value: text, to: &buffer)
                case .number(let number): write(value: String(number), to: &buffer)
                }
            }
        }
    }

    private static func write(value: String, to buffer: inout ByteBuffer) {
        buffer.writeInteger(Int32(clamping: value.utf8.count))
        buffer.writeString(value)
    }

    /// CommandComplete.
    static func writeComplete(_ tag: String, to buffer: inout ByteBuffer) {
        write("C", to: &buffer) { $0.writeNullTerminatedString(tag) }
    }

    /// EmptyQueryResponse.
    static func writeEmpty(to buffer: inout ByteBuffer) {
        write("I", to: &buffer) { _ in }
    }

    /// ReadyForQuery; the console knows no transactions.
    static func writeReady(to buffer: inout ByteBuffer) {
        write("Z", to: &buffer) { $0.writeInteger(UInt8(ascii: "I")) }
    }

    /// ErrorResponse.
    static func writeError(_ message: String, sqlState: String, to buffer: inout ByteBuffer) {
        write("E", to: &buffer) { writeFields(severity: "ERROR", sqlState: sqlState, message: message, detail: nil, to: &$0) }
    }

    /// NoticeResponse.
    static func writeNotice(_ message: String, detail: String?, to buffer: inout ByteBuffer) {
        write("N", to: &buffer) { writeFields(severity: "NOTICE", sqlState: "00000", message: message, detail: detail, to: &$0) }
    }

    private static func writeFields(severity: String, sqlState: String, message: String, detail: String?, to buffer: inout ByteBuffer) {
        let fields: [(Character, String?)] = [("S", severity), ("V", severity), ("C", sqlState), ("M", message), ("D", detail)]
        for case (let code, let text?) in fields {
            buffer.writeString(String(code))
            // A NUL would end the field early.
            buffer.writeNullTerminatedString(text.split(separator: "\0").joined(separator: " "))
        }
        buffer.writeInteger(UInt8(0))
    }

    private static func write(_ type: Character, to buffer: inout ByteBuffer, _ payload: (inout ByteBuffer) -> Void) {
        buffer.writeString(String(type))
        let lengthIndex = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        payload(&buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - lengthIndex), at: lengthIndex)
    }
}
