/// One mistake in the configuration, said so that it can be mended without looking anything up.
struct ConfigurationProblem: Error, Equatable {
    /// Where the mistake was made.
    enum Place: Equatable {
        /// Line and column from 1; the column counts characters. `width` characters are meant; at 0 the line is not shown, because
        /// it may hold a secret.
        case file(name: String, line: Int, column: Int, width: Int)
        /// The file as a whole.
        case wholeFile(name: String)
        case environment(name: String)
        case flag(String)
        /// Values that do not go together.
        case together

        var line: Int? {
            if case .file(_, let line, _, _) = self { line } else { nil }
        }
    }

    let place: Place
    /// `edge.cache.size: "256" has no unit: write 256MB, 256KB or 256B`.
    let text: String
    /// What may stand in its place; empty when the text says all.
    var allowed: [String] = []

    /// The mistake as lines of text: where, what, the line with a caret, and what is allowed.
    /// - Parameter source: the file's text.
    func rendered(source: String?) -> String {
        var lines: [String] = []
        switch place {
        case .file(let name, let line, let column, let width):
            lines.append("\(name):\(line):\(column): \(text)")
            let sourceLines = source.map { $0.split(separator: "\n", omittingEmptySubsequences: false) } ?? []
            if width > 0, sourceLines.indices.contains(line - 1) {
                let number = "\(line)"
                lines.append("  \(number) | \(sourceLines[line - 1].replacing("\t", with: " "))")
                let indent = String(repeating: " ", count: number.count)
                lines.append(
                    "  \(indent) | " + String(repeating: " ", count: max(0, column - 1)) + "^"
                        + String(repeating: "~", count: max(0, width - 1)))
            }
        case .wholeFile(let name): lines.append("\(name): \(text)")
        case .environment(let name): lines.append("environment \(name): \(text)")
        case .flag(let flag): lines.append("\(flag): \(text)")
        case .together: lines.append(text)
        }
        if !allowed.isEmpty { lines.append("  allowed here: \(allowed.joined(separator: ", "))") }
        return lines.joined(separator: "\n")
    }
}

/// All mistakes of a configuration at once.
struct ConfigurationProblems: Error {
    let problems: [ConfigurationProblem]
    /// The file's text, to show its lines.
    let source: String?

    /// Those of the file in the order of its lines, then the rest as they were found.
    var rendered: String {
        let order = problems.enumerated().sorted { a, b in
            (a.element.place.line ?? .max, a.offset) < (b.element.place.line ?? .max, b.offset)
        }
        return order.map(\.element).map { $0.rendered(source: source) }.joined(separator: "\n")
    }
}
