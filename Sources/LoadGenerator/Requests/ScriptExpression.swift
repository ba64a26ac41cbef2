extension TransactionScript {
    /// What `\set` computes.
    indirect enum Expression: Equatable, Sendable {
        case number(Int64)
        case name(String)
        case sum(Expression, Expression)
        case difference(Expression, Expression)
        case product(Expression, Expression)
        case quotient(Expression, Expression)
        case remainder(Expression, Expression)
        case random(Expression, Expression)
        /// Whole numbers of a range, those at its beginning most often; the exponent is above 0.
        case zipfian(Expression, Expression, exponent: Double)

        /// - Returns: `nil` for a name that is not known, an empty range, a division by zero, a number beyond 64 bits.
        func value(_ names: [String: Int64], _ numbers: inout SeededNumbers) -> Int64? {
            switch self {
            case .number(let value): return value
            case .name(let name): return names[name]
            case .sum(let a, let b): return both(a, b, names, &numbers) { $0.addingReportingOverflow($1) }
            case .difference(let a, let b): return both(a, b, names, &numbers) { $0.subtractingReportingOverflow($1) }
            case .product(let a, let b): return both(a, b, names, &numbers) { $0.multipliedReportingOverflow(by: $1) }
            case .quotient(let a, let b): return both(a, b, names, &numbers) { $0.dividedReportingOverflow(by: $1) }
            case .remainder(let a, let b): return both(a, b, names, &numbers) { $0.remainderReportingOverflow(dividingBy: $1) }
            case .random(let a, let b):
                guard let low = a.value(names, &numbers), let high = b.value(names, &numbers), low <= high else { return nil }
                return Int64.random(in: low...high, using: &numbers)
            case .zipfian(let a, let b, let exponent):
                guard let low = a.value(names, &numbers), let high = b.value(names, &numbers), low <= high else { return nil }
                let (count, isTooLarge) = high.subtractingReportingOverflow(low)
                guard !isTooLarge, count < 1 << 40 else { return nil }
                return low + Int64(ZipfNumbers(count: Int(count) + 1, exponent: exponent).draw(&numbers) - 1)
            }
        }

        private func both(
            _ a: Expression, _ b: Expression, _ names: [String: Int64], _ numbers: inout SeededNumbers,
            _ operation: (Int64, Int64) -> (partialValue: Int64, overflow: Bool)
        ) -> Int64? {
            guard let left = a.value(names, &numbers), let right = b.value(names, &numbers) else { return nil }
            let (value, isTooLarge) = operation(left, right)
            return isTooLarge ? nil : value
        }
    }
}

extension TransactionScript.Expression {
    /// Reads an expression by recursive descent: sums of products of numbers, names, calls and parentheses.
    struct Parser {
        /// Parentheses in each other.
        private static let depthMax = 50

        private var rest: Substring
        private var depth = 0

        init(_ text: String) { rest = text[...] }

        /// - Returns: `nil` when the text is something else.
        mutating func parse() -> TransactionScript.Expression? {
            guard let expression = sum() else { return nil }
            skipSpace()
            return rest.isEmpty ? expression : nil
        }

        private mutating func sum() -> TransactionScript.Expression? {
            guard var left = product() else { return nil }
            while let sign = take(anyOf: "+-") {
                guard let right = product() else { return nil }
                left = sign == "+" ? .sum(left, right) : .difference(left, right)
            }
            return left
        }

        private mutating func product() -> TransactionScript.Expression? {
            guard var left = atom() else { return nil }
            while let sign = take(anyOf: "*/%") {
                guard let right = atom() else { return nil }
                left = sign == "*" ? .product(left, right) : sign == "/" ? .quotient(left, right) : .remainder(left, right)
            }
            return left
        }

        private mutating func atom() -> TransactionScript.Expression? {
            depth += 1
            defer { depth -= 1 }
            guard depth <= Self.depthMax else { return nil }
            if take(anyOf: "(") != nil {
                guard let inner = sum(), take(anyOf: ")") != nil else { return nil }
                return inner
            }
            if take(anyOf: "-") != nil { return atom().map { .difference(.number(0), $0) } }
            if take(anyOf: ":") != nil {
                let name = word()
                return name.isEmpty ? nil : .name(name)
            }
            let word = word()
            if let number = Int64(word) { return .number(number) }
            guard take(anyOf: "(") != nil, let low = sum(), take(anyOf: ",") != nil, let high = sum() else { return nil }
            switch word {
            case "random": return take(anyOf: ")") == nil ? nil : .random(low, high)
            case "random_zipfian":
                guard take(anyOf: ",") != nil else { return nil }
                skipSpace()
                let text = rest.prefix { $0.isNumber || $0 == "." }
                rest = rest.dropFirst(text.count)
                guard let exponent = Double(text), exponent > 0, take(anyOf: ")") != nil else { return nil }
                return .zipfian(low, high, exponent: exponent)
            default: return nil
            }
        }

        private mutating func word() -> String {
            skipSpace()
            let word = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
            rest = rest.dropFirst(word.count)
            return String(word)
        }

        private mutating func take(anyOf characters: String) -> Character? {
            skipSpace()
            guard let first = rest.first, characters.contains(first) else { return nil }
            rest = rest.dropFirst()
            return first
        }

        private mutating func skipSpace() { rest = rest.drop { $0.isWhitespace } }
    }
}
