import HTTPSemantics

/// Who may purge and ask what is stored.
public struct PurgeConfiguration: Sendable, Equatable {
    /// What `Headrace-Key`, `Fastly-Key` or `Authorization: Bearer …` must say; `nil` when no token is asked for.
    public var token: String?
    /// From where; anywhere, when empty.
    public var clients: [AddressRange] = []

    public init() {}

    /// With neither a token nor networks nobody may.
    public var isEnabled: Bool { token != nil || !clients.isEmpty }
}

/// A method that is for the response cache itself and never forwarded.
enum CacheMethod: Sendable {
    /// As Varnish, Fastly and Squid have it.
    case purge
    /// What is stored under the request's key, and why it would be given or not.
    case explain

    init?(_ head: borrowing RequestHead) {
        guard head.method == .other else { return nil }
        let name = head.fields.bytes.span.extracting(head.methodRange)
        func isNamed(_ spelling: StaticString) -> Bool {
            guard name.count == spelling.utf8CodeUnitCount else { return false }
            for index in name.indices where name[index] != spelling.utf8Start[index] { return false }
            return true
        }
        if isNamed("PURGE") { self = .purge } else if isNamed("EXPLAIN") { self = .explain } else { return nil }
    }
}

/// Why a purge is refused. The raw value is the `detail` of the answer and the label of the metric.
enum PurgeRefusal: String, Error, Sendable, CaseIterable {
    /// Nobody may purge here.
    case disabled = "purge-disabled"
    /// The client is in none of the networks that may.
    case client = "purge-client"
    /// The token is missing or another.
    case token = "purge-token"
    /// What is to be purged is not understood: two kinds at once, an expression that is none.
    case malformed = "purge-malformed"
    /// More patterns than are kept wait to be compared with what is stored.
    case tooMany = "purge-too-many"

    var status: Int {
        switch self {
        case .disabled: 405
        case .client, .token: 403
        case .malformed: 400
        case .tooMany: 503
        }
    }
}

/// What a `PURGE` asks for.
///
/// | request | purges |
/// |---|---|
/// | `PURGE /path?query` | this URL, all its variants |
/// | with `Surrogate-Key: a b`, `xkey: a b`, `Cache-Tag: a, b` | whatever carries one of these tags, of any host |
/// | with `Headrace-Purge: prefix` | the targets of this host that begin as this one |
/// | with `Headrace-Purge: all` | everything of this host |
/// | with `Headrace-Purge-Regex: ^/img/.*\.png$` | the targets of this host in which the expression is found |
/// | with `Headrace-Purge-Host: *` | the same of all hosts; or of another host |
/// | with `Headrace-Soft-Purge: 1` or `Fastly-Soft-Purge: 1` | makes it stale instead |
struct PurgeRequest: Sendable {
    enum Kind: String, Sendable, CaseIterable {
        case url
        case tags = "key"
        case prefix
        case regex
        case all

        /// What its answer gives as the reason.
        var reason: String {
            switch self {
            case .url: "purge-url"
            case .tags: "purge-key"
            case .prefix: "purge-prefix"
            case .regex: "purge-regex"
            case .all: "purge-all"
            }
        }
    }

    enum What: Sendable {
        case url
        case tags([UInt64])
        case ban(BanRule)
    }

    let kind: Kind
    let what: What
    let isSoft: Bool

    /// - Throws: `malformed`.
    init(_ head: borrowing RequestHead) throws(PurgeRefusal) {
        let fields = head.fields
        var isSoft = false
        var mode: String?
        var expression: String?
        let tags = DependencyTags(fields)
        let text = fields.bytes.span
        var host: [UInt8]? = []
        CacheKeying.append(authority: text.extracting(head.authority), isSecure: false, to: &host!)
        for index in fields.lines.indices where fields.lines[index].name == .other {
            let name = String(copying: fields.name(at: index)).lowercased()
            let value = String(copying: fields.value(at: index))
            switch name {
            case "headrace-soft-purge", "fastly-soft-purge", "soft-purge": isSoft = value == "1" || value.lowercased() == "true"
            case "headrace-purge": mode = value.lowercased()
            case "headrace-purge-regex": expression = value
            case "headrace-purge-host": host = value == "*" ? nil : Array(value.lowercased().utf8)
            default: break
            }
        }
        self.isSoft = isSoft
        guard !tags.isOverLimit else { throw .malformed }
        let kindCount = (tags.hashes.isEmpty ? 0 : 1) + (mode == nil ? 0 : 1) + (expression == nil ? 0 : 1)
        guard kindCount <= 1 else { throw .malformed }
        if !tags.hashes.isEmpty {
            kind = .tags
            what = .tags(tags.hashes)
        } else if let expression {
            guard let regex = try? LinearRegex(expression) else { throw .malformed }
            kind = .regex
            what = .ban(BanRule(host: host, pattern: .regex(regex)))
        } else {
            switch mode {
            case nil, "url":
                kind = .url
                what = .url
            case "prefix":
                kind = .prefix
                what = .ban(BanRule(host: host, pattern: .prefix(text.extracting(head.target).withUnsafeBufferPointer { Array($0) })))
            case "all":
                kind = .all
                what = .ban(BanRule(host: host, pattern: .everything))
            default: throw .malformed
            }
        }
    }

    /// Whether a client may.
    static func refusal(
        _ head: borrowing RequestHead, from client: ClientIdentity, _ configuration: PurgeConfiguration
    ) -> PurgeRefusal? {
        guard configuration.isEnabled else { return .disabled }
        if !configuration.clients.isEmpty, !configuration.clients.contains(where: { $0.contains(client.ip) }) { return .client }
        guard let token = configuration.token else { return nil }
        let wanted = Array(token.utf8)
        let fields = head.fields
        for index in fields.lines.indices {
            var value = fields.value(at: index).withUnsafeBufferPointer { Array($0)[...] }
            switch fields.lines[index].name {
            case .authorization:
                guard value.starts(with: "Bearer ".utf8) else { continue }
                value = value.dropFirst(7)
            case .other:
                let name = String(copying: fields.name(at: index)).lowercased()
                guard name == "headrace-key" || name == "fastly-key" else { continue }
            default: continue
            }
            if isEqual(Array(value), wanted) { return nil }
        }
        return .token
    }

    /// In time that does not depend on where they differ.
    private static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}
