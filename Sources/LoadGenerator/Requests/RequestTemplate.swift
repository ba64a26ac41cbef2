/// Text with places for values: `{{name}}`, where the name is that of a column.
public enum RequestTemplate {
    /// Why a text cannot be filled in; the description is for the operator.
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case unknownColumn(String)
        case noHeader
        /// A row has more or fewer fields than the first one names.
        case columns(row: Int)
        case tooManyRows

        public var description: String {
            switch self {
            case .unknownColumn(let name): "{{\(name)}}: the data have no column of that name"
            case .noHeader: "the data's first line must name its columns"
            case .columns(let row): "line \(row) of the data has not as many fields as the first one names"
            case .tooManyRows: "the data have more than \(RowTable.rowsMax) rows"
            }
        }
    }

    /// Replaces each place by the row's value. Braces that do not close, or close around nothing, stay as they are.
    public static func filled(_ text: String, columns: [String: Int], row: [String]) throws(Invalid) -> String {
        guard text.contains("{{") else { return text }
        var result = ""
        var rest = text[...]
        while let open = rest.firstPlace(of: "{{") {
            result += rest[..<open]
            let inner = rest[open...].dropFirst(2)
            guard let close = inner.firstPlace(of: "}}"), close != inner.startIndex else {
                result += "{{"
                rest = inner
                continue
            }
            let name = String(inner[..<close])
            guard let column = columns[name], row.indices.contains(column) else { throw .unknownColumn(name) }
            result += row[column]
            rest = inner[close...].dropFirst(2)
        }
        return result + rest
    }
}

/// The rows of a CSV text; the first line names the columns.
/// - Source: RFC 4180.
public struct RowTable: Sendable, Equatable {
    /// Each row is a request that is rendered beforehand.
    public static let rowsMax = 100_000

    public let columns: [String: Int]
    public let rows: [[String]]

    public init(csv text: String) throws(RequestTemplate.Invalid) {
        var lines: [[String]] = []
        var fields: [String] = []
        var field: [UInt8] = []
        var isQuoted = false
        var wasQuoted = false
        let bytes = Array(text.utf8)
        var index = 0
        func finished(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if isQuoted {
                if byte != UInt8(ascii: "\"") {
                    field.append(byte)
                } else if index < bytes.count, bytes[index] == byte {
                    field.append(byte)
                    index += 1
                } else {
                    isQuoted = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\"") where field.isEmpty && !wasQuoted: (isQuoted, wasQuoted) = (true, true)
            case UInt8(ascii: ","):
                fields.append(finished(field))
                (field, wasQuoted) = ([], false)
            case UInt8(ascii: "\r") where index < bytes.count && bytes[index] == UInt8(ascii: "\n"): break
            case UInt8(ascii: "\n"):
                fields.append(finished(field))
                // An empty line is no row.
                if fields != [""] || wasQuoted { lines.append(fields) }
                (field, fields, wasQuoted) = ([], [], false)
                guard lines.count <= Self.rowsMax + 1 else { throw .tooManyRows }
            default: field.append(byte)
            }
        }
        if !field.isEmpty || !fields.isEmpty || wasQuoted { lines.append(fields + [finished(field)]) }
        guard lines.count <= Self.rowsMax + 1 else { throw .tooManyRows }
        guard let names = lines.first, names.allSatisfy({ !$0.isEmpty }) else { throw .noHeader }
        for (index, line) in lines.enumerated() where line.count != names.count { throw .columns(row: index + 1) }
        columns = Dictionary(names.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        rows = Array(lines.dropFirst())
    }
}

extension Substring {
    func firstPlace(of text: String) -> Index? {
        var place = startIndex
        while place < endIndex {
            if self[place...].hasPrefix(text) { return place }
            place = index(after: place)
        }
        return nil
    }
}
