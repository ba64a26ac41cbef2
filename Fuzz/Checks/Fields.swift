import HTTPSemantics

/// Every field that we read, with the input as its value in one line and in two; the first byte chooses where it is cut.
package func checkFields(_ input: UnsafeBufferPointer<UInt8>) {
    guard let choice = input.first else { return }
    let bytes = Array(input.dropFirst())
    let split = bytes.count * Int(choice) / 256
    var fields = FieldSection()
    for name in FieldName.allCases where name != .other {
        fields.append(name: Array("\(name.spelling)".utf8).span, value: bytes.span.extracting(..<split))
        fields.append(name: Array("\(name.spelling)".utf8).span, value: bytes.span.extracting(split...))
    }
    checkValue(bytes.span)

    let cacheControl = CacheControl(fields)
    for seconds in [
        cacheControl.maxAge, cacheControl.sMaxAge, cacheControl.staleIfError, cacheControl.staleWhileRevalidate,
        cacheControl.minFresh,
    ] {
        precondition(seconds.map { (0...CacheControl.secondsMax).contains($0) } ?? true)
    }

    let shared = CacheControl.forSharedCache(fields)
    for seconds in [shared.maxAge, shared.sMaxAge, shared.staleIfError, shared.staleWhileRevalidate] {
        precondition(seconds.map { (0...CacheControl.secondsMax).contains($0) } ?? true)
    }
    _ = WithheldFields(fields, shared).contains("set-cookie".utf8.span)

    let accepted = AcceptedCodings(fields)
    for available in 0..<16 as Range<UInt8> {
        let best = accepted.best(of: CodingSet(rawValue: available), serverOrder: [.zstd, .brotli, .gzip])
        if let best { precondition(accepted.accepts(best) && CodingSet(rawValue: available).contains(CodingSet(best))) }
    }

    let vary = VaryNames(fields)
    precondition(vary.names.count <= VaryNames.namesMax && (!vary.isAny || vary.names.isEmpty))
    precondition(vary.secondaryKey(fields) == vary.secondaryKey(fields))
    _ = ConnectionOptions(fields).names("te".utf8.span)

    var request = RequestHead()
    request.method = .get
    request.fields = fields
    var response = ResponseHead()
    response.status = 200
    response.fields = fields
    _ = Storability.decide(request: request, response: response, cacheControl: cacheControl)
    let lifetime = Freshness.lifetimeSeconds(response: response, cacheControl: cacheControl)
    precondition((0...CacheControl.secondsMax).contains(lifetime))
    var rules = StoringRules()
    rules.heuristicShare = 0.1
    rules.defaultLifetimeSeconds = 60
    let added = Freshness.addedLifetimeSeconds(response: response, cacheControl: shared, rules: rules, received: 1 << 40)
    precondition((0...rules.heuristicSecondsMax).contains(added))
    precondition(Freshness.initialAgeSeconds(response: response, requestSent: 0, responseReceived: 1) >= 0)
    for method in Method.allCases {
        _ = Preconditions.evaluate(
            method: method, fields: fields, entityTag: EntityTag(bytes.span), lastModified: HTTPDate.parse(bytes.span))
    }
}

/// What reads one value, and what it must give back when it accepts it.
private func checkValue(_ value: Span<UInt8>) {
    var output: [UInt8] = []
    if let seconds = HTTPDate.parse(value) {
        HTTPDate.append(seconds, to: &output)
        precondition(output.count == 29 && HTTPDate.parse(output.span) == seconds, "a date does not come back")
    }
    output = []
    if let tag = EntityTag(value) {
        tag.append(to: &output)
        precondition(EntityTag(output.span) == tag && output.count == value.count, "a tag does not come back")
    }
    output = []
    if let trace = TraceParent(value) {
        trace.append(to: &output)
        precondition(TraceParent(output.span) == trace, "a trace does not come back")
    }
    if let ranges = ByteRange.parse(value) {
        for count in [0, 1, 1000, Int.max] {
            for range in ranges {
                if let found = range.resolved(count: count) { precondition(!found.isEmpty && found.upperBound <= count) }
            }
        }
    }
    let links = LinkValue.all(value, countMax: 16)
    precondition(links.count <= 16)
    for (index, link) in links.enumerated() {
        precondition(value[link.range.lowerBound] == UInt8(ascii: "<") && link.range.upperBound <= value.count, "a link that begins elsewhere")
        precondition(index == 0 || links[index - 1].range.upperBound <= link.range.lowerBound, "links over each other")
        let again = LinkValue.all(value.extracting(link.range), countMax: 2)
        precondition(again.count == 1 && again[0].relations == link.relations && again[0].hasAnchor == link.hasAnchor, "a link does not come back")
    }
    let text = value.withUnsafeBufferPointer { Array($0) }
    if let dictionary = StructuredDictionary(text) { precondition(dictionary.members.count <= StructuredDictionary.membersMax) }
    let related = RelatedTarget.sameOrigin(value, authority: "a.example".utf8.span, target: "/a/b?c".utf8.span)
    precondition(related?.first.map { $0 == UInt8(ascii: "/") } ?? true, "a target begins with a slash")
    if let type = MediaType(value) { precondition(MediaType(type.essence.utf8.span) == type, "a type does not come back") }
    if let coding = ContentCoding(token: value) { precondition(coding != .identity || value.count == 8) }
}
