import Yams

/// Changes one value in the text of a configuration file, and nothing else: comments, order and blank lines stay.
///
/// YAML's emitters forget comments, so the lines are edited where the reader says that key and value stand. What comes out is read again: it
/// has to say what the text said before but for this one key, or the edit is refused. So a file in a form that nobody thought of here is
/// never damaged.
enum ConfigurationEdit {
    struct Refused: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameters:
    ///   - key: in sections that are there or are added, but for a repeated section's.
    ///   - value: in YAML, on one line.
    static func setting(_ key: ConfigurationKey, to value: String, in text: String) throws -> String {
        let path = key.path.split(separator: ".").map(String.init)
        let edited = try edit(text, path, value)
        let (before, after) = (ConfigurationFile.parse(text, name: ""), ConfigurationFile.parse(edited, name: ""))
        let wanted = ConfigurationFile.parse(nested(path, value, indent: 0).joined(separator: "\n"), name: "").content.entries.first?.words
        guard after.problems.isEmpty, said(before.content, but: key.path) == said(after.content, but: key.path), let wanted,
            after.content.entries.first(where: { $0.path == key.path })?.words == wanted
        else {
            throw Refused(description: "\(key.path) stands in a form that cannot be changed in place: write it as \"\(path.last ?? ""): \(value)\"")
        }
        return edited
    }

    /// All that a file says, in a form that can be compared.
    private static func said(_ content: SectionContent, but path: String) -> [String] {
        content.entries.filter { $0.path != path }.map { "\($0.path)=\($0.words)" }.sorted()
            + content.repeated.sorted { $0.key < $1.key }.flatMap { section, elements in
                elements.flatMap { element in said(element.content, but: "").map { "\(section) \(element.path) \($0)" } }
            }
    }

    private static func edit(_ text: String, _ path: [String], _ value: String) throws -> String {
        var lines = lines(of: text)
        var node = try Yams.compose(yaml: text)
        for (level, name) in path.enumerated() {
            let rest = Array(path[level...])
            guard let section = node, !section.isNull else {
                // Nothing but comments.
                while lines.last?.allSatisfy(\.isNewline) == true { lines.removeLast() }
                insert(nested(rest, value, indent: 0), at: lines.count, &lines)
                return lines.joined()
            }
            guard case .mapping(let mapping) = section, mapping.style != .flow else {
                throw Refused(description: "\(path[..<level].joined(separator: ".")) is written in braces: write its keys on lines of their own")
            }
            guard let (key, found) = mapping.first(where: { $0.key.string == name }) else {
                guard let last = mapping.max(by: { ($0.key.mark?.line ?? 0) < ($1.key.mark?.line ?? 0) }), let mark = mark(last.key, lines) else { break }
                insert(nested(rest, value, indent: mark.column - 1), at: end(of: last.value, mark, lines), &lines)
                return lines.joined()
            }
            guard let mark = mark(key, lines) else { break }
            if rest.count == 1 {
                let first = mark.line - 1
                let line = replaced(lines[first], from: mark.column - 1, value)
                lines.replaceSubrange(first..<end(of: found, mark, lines), with: [line])
                return lines.joined()
            }
            if found.isNull {
                insert(nested(Array(rest.dropFirst()), value, indent: mark.column + 1), at: mark.line, &lines)
                return lines.joined()
            }
            node = found
        }
        throw Refused(description: "\(path.joined(separator: ".")): its place in the file cannot be found")
    }

    /// Lines as the reader's marks count them, each with its end.
    /// - Source: YAML 1.1, §4.1.4: LF, CR, CR LF, NEL, LS and PS end a line; Swift takes CR LF for one `Character`.
    private static func lines(of text: String) -> [String] {
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        let scalars = text.unicodeScalars
        for index in scalars.indices {
            line.append(scalars[index])
            switch scalars[index] {
            case "\r":
                let next = scalars.index(after: index)
                if next < scalars.endIndex, scalars[next] == "\n" { continue }
            case "\n", "\u{85}", "\u{2028}", "\u{2029}": break
            default: continue
            }
            lines.append(String(line))
            line.removeAll()
        }
        return line.isEmpty ? lines : lines + [String(line)]
    }

    /// Adds lines that end as the file's first does.
    private static func insert(_ new: [String], at index: Int, _ lines: inout [String]) {
        let ending = lines.first?.last == "\r\n" ? "\r\n" : "\n"
        if index > 0, lines[index - 1].last?.isNewline != true { lines[index - 1] += ending }
        lines.insert(contentsOf: new.map { $0 + ending }, at: index)
    }

    /// Where a key stands; `nil` when that is none of the lines.
    private static func mark(_ key: Node, _ lines: [String]) -> Mark? {
        key.mark.flatMap { (1...max(1, lines.count)).contains($0.line) && $0.column >= 1 ? $0 : nil }
    }

    private static func nested(_ path: [String], _ value: String, indent: Int) -> [String] {
        path.enumerated().map { level, name in
            String(repeating: " ", count: indent + 2 * level) + name + (level == path.count - 1 ? ": \(value)" : ":")
        }
    }

    /// The index behind the last line of a key's value. Blank lines and comments that follow belong to what comes next.
    private static func end(of value: Node, _ key: Mark, _ lines: [String]) -> Int {
        var end = key.line
        var isMember = false
        if case .sequence = value { isMember = true }
        for index in key.line..<max(key.line, lines.count) {
            let text = lines[index].drop { $0 == " " || $0 == "\t" || $0.isNewline }
            if text.isEmpty || text.first == "#" { continue }
            let indent = lines[index].prefix { $0 == " " }.count
            // A list's members may stand below their key without being indented.
            guard indent > key.column - 1 || isMember && indent == key.column - 1 && text.first == "-" else { break }
            end = index + 1
        }
        return end
    }

    /// A line with another value behind its key; a comment at its end stays, and so does the line's end.
    private static func replaced(_ whole: String, from column: Int, _ value: String) -> String {
        let ending = whole.last.map { $0.isNewline ? String($0) : "" } ?? ""
        let line = whole.dropLast(ending.count)
        let keyStart = line.index(line.startIndex, offsetBy: min(column, line.count))
        guard let colon = line[keyStart...].firstIndex(of: ":") else { return whole }
        var quote: Character?
        var before: Character = ":"
        var comment = ""
        for index in line[line.index(after: colon)...].indices {
            let character = line[index]
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "\"" || character == "'", " [,{".contains(before) {
                quote = character
            } else if character == "#", before == " " || before == "\t" {
                comment = String(line[index...])
                break
            }
            before = character
        }
        return line[...colon] + " " + value + (comment.isEmpty ? "" : "  " + comment) + ending
    }
}
