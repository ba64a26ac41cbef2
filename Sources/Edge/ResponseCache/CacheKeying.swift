import HTTPSemantics

/// How a route makes keys of requests: ``CacheKeyRules``, ready to use, and the scope that tells the route's responses from others'.
///
/// ```
/// example.com ⏎ /list?a=1&b=2 ⏎ scope ␁https ␁:x-region=north ␁;plan=pro ␁@phone ␁~de
/// ```
/// Host and target come first and end with a line feed, whatever follows, so that purges find them.
struct CacheKeying: Sendable, Equatable {
    /// ``RouteConfiguration/cacheScope``.
    let scope: [UInt8]
    /// `nil` when there are none.
    let rules: Rules?

    struct Rules: Sendable, Equatable {
        let target: TargetRules?
        /// In lower case.
        let fields: [[UInt8]]
        let cookies: [[UInt8]]
        let hasDeviceClass: Bool
        /// In lower case.
        let languages: [[UInt8]]

        var hasExtras: Bool { !fields.isEmpty || !cookies.isEmpty || hasDeviceClass || !languages.isEmpty }
    }

    init(scope: [UInt8], _ rules: CacheKeyRules = CacheKeyRules()) {
        self.scope = scope
        guard !rules.isEmpty else {
            self.rules = nil
            return
        }
        self.rules = Rules(
            target: TargetRules(rules), fields: rules.fields.map { Array($0.lowercased().utf8) }.sorted { $0.lexicographicallyPrecedes($1) },
            cookies: rules.cookies.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }, hasDeviceClass: rules.hasDeviceClass,
            languages: rules.languages.map { Array($0.lowercased().utf8) })
    }

    /// Between the parts that follow the scope. No field value has it, nor a target.
    private static let mark: UInt8 = 0x01

    func append(_ head: borrowing RequestHead, client: borrowing ClientIdentity, to key: inout [UInt8]) {
        let text = head.fields.bytes.span
        if let host = client.host {
            Self.append(authority: host.span, isSecure: client.isSecure, to: &key)
        } else {
            Self.append(authority: text.extracting(head.authority), isSecure: client.isSecure, to: &key)
        }
        key.append(UInt8(ascii: "\n"))
        append(target: text.extracting(head.target), to: &key)
        let isPlain = !client.isSecure && !(rules?.hasExtras ?? false)
        if isPlain, scope.isEmpty { return }
        key.append(UInt8(ascii: "\n"))
        key.append(contentsOf: scope)
        if client.isSecure {
            key.append(Self.mark)
            key.append(contentsOf: "https".utf8)
        }
        if let rules, rules.hasExtras { Self.append(rules, head, to: &key) }
    }

    /// What a purge by URL starts from: host and target, without what is behind them.
    func append(authority: Span<UInt8>, target: Span<UInt8>, isSecure: Bool, to key: inout [UInt8]) {
        Self.append(authority: authority, isSecure: isSecure, to: &key)
        key.append(UInt8(ascii: "\n"))
        append(target: target, to: &key)
        guard isSecure || !scope.isEmpty else { return }
        key.append(UInt8(ascii: "\n"))
        key.append(contentsOf: scope)
        guard isSecure else { return }
        key.append(Self.mark)
        key.append(contentsOf: "https".utf8)
    }

    /// The tag by which a purge of its URL finds a response whose key has more than host and target; `nil` when the URL makes the key.
    func urlTag(authority: Span<UInt8>, target: Span<UInt8>, isSecure: Bool) -> UInt64? {
        guard rules?.hasExtras ?? false else { return nil }
        var bytes: [UInt8] = []
        Self.append(authority: authority, isSecure: isSecure, to: &bytes)
        // No tag of an application's has a line feed.
        bytes.append(UInt8(ascii: "\n"))
        append(target: target, to: &bytes)
        return DependencyTags.hash(bytes.span)
    }

    func urlTag(_ head: borrowing RequestHead, client: borrowing ClientIdentity) -> UInt64? {
        guard rules?.hasExtras ?? false else { return nil }
        let text = head.fields.bytes.span
        let target = text.extracting(head.target)
        guard let host = client.host else {
            return urlTag(authority: text.extracting(head.authority), target: target, isSecure: client.isSecure)
        }
        return urlTag(authority: host.span, target: target, isSecure: client.isSecure)
    }

    /// The tag of the URL that a key is of, whatever the key has besides.
    /// - Parameter key: ``CacheKey/bytes``.
    static func urlTag(ofKey key: [UInt8]) -> UInt64 {
        let lineFeed = UInt8(ascii: "\n")
        let target = (key.firstIndex(of: lineFeed) ?? key.startIndex - 1) + 1
        let end = key[target...].firstIndex(of: lineFeed) ?? key.endIndex
        return DependencyTags.hash(key.span.extracting(0..<end))
    }

    private func append(target: Span<UInt8>, to key: inout [UInt8]) {
        if let rules = rules?.target {
            rules.append(target, to: &key)
        } else {
            target.withUnsafeBufferPointer { key.append(contentsOf: $0) }
        }
    }

    /// In lower case, without the scheme's own port and without an empty one.
    /// - Source: RFC 3986 §6.2.2.1, §6.2.3.
    static func append(authority: Span<UInt8>, isSecure: Bool, to key: inout [UInt8]) {
        var end = authority.count
        let digits: StaticString = isSecure ? ":443" : ":80"
        let count = digits.utf8CodeUnitCount
        if end > count, (0..<count).allSatisfy({ authority[end - count + $0] == digits.utf8Start[$0] }) {
            end -= count
        } else if end > 1, authority[end - 1] == UInt8(ascii: ":") {
            end -= 1
        }
        for index in 0..<end { key.append(ASCII.lowercased(authority[index])) }
    }

    /// An authority as it is in keys, and as the application is told it where its answer may be stored.
    static func normalised(_ authority: Span<UInt8>, isSecure: Bool) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(authority.count)
        append(authority: authority, isSecure: isSecure, to: &text)
        return text
    }

    private static func append(_ rules: Rules, _ head: borrowing RequestHead, to key: inout [UInt8]) {
        let fields = head.fields
        for name in rules.fields {
            var isPresent = false
            for index in fields.lines.indices where isSame(fields.name(at: index), name) {
                if isPresent {
                    key.append(UInt8(ascii: ","))
                } else {
                    key.append(mark)
                    key.append(UInt8(ascii: ":"))
                    key.append(contentsOf: name)
                    key.append(UInt8(ascii: "="))
                }
                isPresent = true
                fields.value(at: index).withUnsafeBufferPointer { key.append(contentsOf: $0) }
            }
        }
        for name in rules.cookies {
            guard fields.contains(.cookie) else { continue }
            // All of that name: which of them counts is the application's choice (RFC 6265 §5.4, §8.6).
            var pairs = CookiePairs()
            while let pair = pairs.next(in: fields) {
                guard pair.name.count == name.count, fields.bytes[pair.name].elementsEqual(name) else { continue }
                key.append(mark)
                key.append(UInt8(ascii: ";"))
                key.append(contentsOf: name)
                key.append(UInt8(ascii: "="))
                key.append(contentsOf: fields.bytes[pair.value])
            }
        }
        if rules.hasDeviceClass {
            key.append(mark)
            key.append(UInt8(ascii: "@"))
            key.append(contentsOf: DeviceClass(fields).rawValue.utf8)
        }
        if !rules.languages.isEmpty {
            key.append(mark)
            key.append(UInt8(ascii: "~"))
            key.append(contentsOf: rules.languages[AcceptedLanguages.best(of: rules.languages, fields)])
        }
    }

    private static func isSame(_ spelled: Span<UInt8>, _ name: [UInt8]) -> Bool {
        guard spelled.count == name.count else { return false }
        for index in name.indices where ASCII.lowercased(spelled[index]) != name[index] { return false }
        return true
    }

    /// What the application is asked for when what it says may be stored; `nil` for the target as it was sent.
    func upstreamTarget(_ head: borrowing RequestHead) -> [UInt8]? {
        guard let rules = rules?.target else { return nil }
        var target: [UInt8] = []
        rules.append(head.fields.bytes.span.extracting(head.target), to: &target)
        return target
    }

    /// Whether a request is passed on just as a stored response's would be, so that what it brings may be stored though nobody saw to that.
    func passesWhole(_ head: borrowing RequestHead, client: borrowing ClientIdentity) -> Bool {
        let fields = head.fields
        let text = fields.bytes
        guard !(rules?.hasDeviceClass ?? false), !hasLanguages, upstreamTarget(head).map({ $0.elementsEqual(text[head.target]) }) ?? true,
            isAsAsked(text[head.authority], client.isSecure), client.host.map({ isAsAsked($0[...], client.isSecure) }) ?? true,
            !AmbiguousFields.contains(fields, keyed: keyedFields)
        else { return false }
        for index in fields.lines.indices where !passes(fields.lines[index].name, fields.name(at: index)) { return false }
        return true
    }

    private func isAsAsked(_ authority: ArraySlice<UInt8>, _ isSecure: Bool) -> Bool {
        Self.normalised(Array(authority).span, isSecure: isSecure).elementsEqual(authority)
    }

    /// The language that the application is asked for: the one in the key; `nil` when it is the client's own words that it gets.
    func language(_ fields: borrowing FieldSection) -> [UInt8]? {
        guard let languages = rules?.languages, !languages.isEmpty else { return nil }
        return languages[AcceptedLanguages.best(of: languages, fields)]
    }

    /// Fields that are in the key, in lower case.
    var keyedFields: [[UInt8]] { rules?.fields ?? [] }

    var hasLanguages: Bool { !(rules?.languages.isEmpty ?? true) }

    /// Whether a field may be passed on with a request whose answer may be stored. Those that applications and frameworks take for
    /// another URL, host, scheme or method may not, unless they are in the key: one client would choose what all others get.
    func passes(_ name: FieldName, _ spelled: Span<UInt8>) -> Bool {
        if name == .acceptLanguage { return !hasLanguages }
        guard name == .other, spelled.count >= 6, Self.mayBeDangerous(spelled[0] | 0x20) else { return true }
        guard Self.dangerous.contains(where: { Self.isSame(spelled, $0) }) else { return true }
        return rules?.fields.contains { Self.isSame(spelled, $0) } ?? false
    }

    private static func mayBeDangerous(_ first: UInt8) -> Bool { first == UInt8(ascii: "x") || first == UInt8(ascii: "f") }

    private static let dangerous: [[UInt8]] = [
        "x-host", "x-http-host-override", "x-original-host", "x-forwarded-server", "x-forwarded-port", "x-forwarded-scheme", "x-forwarded-ssl",
        "x-forwarded-prefix", "x-forwarded-path", "x-forwarded-uri", "x-forwarded-url", "x-forwarded-method", "x-original-url", "x-original-uri",
        "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override", "x-url-scheme", "x-forwarded-protocol",
        "x-forwarded-base-url", "x-forwarded-root", "x-original-path", "x-original-uri-path", "x-envoy-original-path", "x-script-name", "x-proxy-url",
        "x-backend-host", "x-gateway-host", "x-middleware-prefetch", "x-invoke-path", "x-invoke-status", "x-now-route-matches", "front-end-https",
    ].map { Array($0.utf8) }
}

/// What kind of device asks, by its `User-Agent`: coarse on purpose, since each class is a variant of every response.
enum DeviceClass: String, Sendable, CaseIterable {
    case desktop, phone, tablet, robot

    /// What is read of the field: no real one says something else behind it.
    private static let bytesMax = 512

    init(_ fields: FieldSection) {
        guard let index = fields.firstIndex(of: .userAgent) else {
            self = .desktop
            return
        }
        let agent = fields.value(at: index)
        func says(_ word: StaticString) -> Bool {
            let count = word.utf8CodeUnitCount
            let last = min(agent.count, Self.bytesMax) - count
            guard last >= 0 else { return false }
            for start in 0...last {
                var offset = 0
                while offset < count, ASCII.lowercased(agent[start + offset]) == word.utf8Start[offset] { offset += 1 }
                if offset == count { return true }
            }
            return false
        }
        if says("bot") || says("crawl") || says("spider") {
            self = .robot
        } else if says("ipad") || says("tablet") || says("android") && !says("mobile") {
            self = .tablet
        } else if says("mobi") || says("iphone") {
            self = .phone
        } else {
            self = .desktop
        }
    }
}
