import HTTPSemantics

/// What of a request decides its member under consistent hashing.
enum BalancingKey {
    /// - Returns: `nil` when the request has nothing of that kind, or the group is balanced otherwise.
    static func hash(_ request: borrowing RequestHead, clientAddress: [UInt8], _ balancing: UpstreamGroup.Balancing) -> UInt64? {
        guard case .consistentHash(let key) = balancing else { return nil }
        switch key {
        case .client: return Balancer.hash(clientAddress)
        case .target: return Balancer.hash(request.fields.bytes[request.target])
        case .field(let name): return place(request.fields.value(named: name)).map { Balancer.hash(request.fields.bytes[$0]) }
        case .cookie(let name): return place(request.fields.cookieValue(name.utf8)).map { Balancer.hash(request.fields.bytes[$0]) }
        }
    }

    /// What is empty says nothing.
    private static func place(_ value: Range<Int>?) -> Range<Int>? {
        value.flatMap { $0.isEmpty ? nil : $0 }
    }
}
