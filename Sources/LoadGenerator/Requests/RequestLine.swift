/// A line that says what to ask for, as on the command line and in a file of URLs: `[WEIGHT@][METHOD ]URL`.
///
/// In a file a line may also be a path, for the origin that the command line names; empty lines and those that begin with `#` say nothing.
public enum RequestLine {
    public static let weightMax = 1_000_000

    /// Why a line is not understood; the description is for the operator.
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case weight(String)
        case url(HTTPURL.Invalid)
        /// A path, and nobody has said of which origin.
        case noOrigin(String)

        public var description: String {
            switch self {
            case .weight(let text): "\(text): a weight is a whole number from 1 to \(RequestLine.weightMax), as in 3@http://…"
            case .url(let invalid): invalid.description
            case .noOrigin(let text): "\(text): a path needs an origin: name one URL on the command line, too"
            }
        }
    }

    /// - Parameter base: what a path belongs to.
    /// - Returns: `nil` for a line that says nothing.
    public static func parse(_ text: some StringProtocol, base: HTTPURL?) throws(Invalid) -> RequestSpecification? {
        var rest = Substring(text.drop { $0.isWhitespace })
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        guard !rest.isEmpty, rest.first != "#" else { return nil }
        var weight = 1
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        if !digits.isEmpty, rest.dropFirst(digits.count).first == "@" {
            guard let number = Int(digits), (1...weightMax).contains(number) else { throw .weight(String(rest)) }
            weight = number
            rest = rest.dropFirst(digits.count + 1)
        }
        var method = "GET"
        let word = rest.prefix { $0.isASCII && $0.isLetter && $0.isUppercase }
        if !word.isEmpty, rest.dropFirst(word.count).first == " " {
            method = String(word)
            rest = rest.dropFirst(word.count).drop { $0 == " " }
        }
        if rest.hasPrefix("/") {
            guard let base else { throw .noOrigin(String(rest)) }
            rest = Substring(base.origin + rest)
        }
        do {
            return RequestSpecification(try HTTPURL(String(rest)), method: method, weight: weight)
        } catch {
            throw .url(error)
        }
    }
}
