import HTTPSemantics
import NIOCore

// Requests that go past layers: those that are signed, and those that were drawn.

extension HTTPServerHandler {
    /// Goes on with a request that has a ``ProofField``, which nothing behind this sees.
    func chooseWithProof(now: NIODeadline) {
        let value = connection.takeField(.headraceProof)
        switch worker.proof.judge(value, from: identity, seconds: worker.unixSeconds(now)) {
        case .success(let verdict):
            exchange.without = verdict.without
            exchange.proofAnswer = verdict.answer
            refuseCodings(of: verdict.without)
            if !verdict.without.isDisjoint(with: .shared) { worker.pages?.switchLayers(verdict.without) }
            choose(connection.head, hasProof: true, now: now)
        case .failure(let refusal):
            worker.metrics.proofRefused(refusal)
            choose(connection.head, hasProof: false, now: now)
        }
    }

    private func refuseCodings(of layers: EdgeLayers) {
        var codings: CodingSet = []
        if layers.contains(.brotli) { codings.insert(.brotli) }
        if layers.contains(.zstd) { codings.insert(.zstd) }
        if layers.contains(.gzip) { codings.insert(.gzip) }
        if !codings.isEmpty { exchange.accepted = exchange.accepted.without(codings) }
    }

    /// Throws for a request that may go past the layer by which visitors' requests are measured.
    /// - Parameter isLookedUp: the response cache would be asked.
    /// - Returns: whether it goes past the response cache.
    func isHeldOut(_ head: RequestHead, _ route: RoutePlan, _ holdOut: HoldOutThrow, isLookedUp: Bool) -> Bool {
        guard exchange.proofAnswer.isEmpty, !route.isPersonal, HoldOut.mayTakePart(head) else { return false }
        switch holdOut.layer {
        case .responseCache:
            guard isLookedUp else { return false }
        case .compression:
            guard route.compression.isEnabled, exchange.accepted != exchange.accepted.without([.gzip, .brotli, .zstd]) else { return false }
        }
        let isPast = holdOut.isPast(worker.randomNumber())
        exchange.holdOut = HoldOut.Part(layer: holdOut.layer, isPast: isPast)
        guard isPast, holdOut.layer == .compression else { return isPast }
        exchange.without = .compression
        refuseCodings(of: .compression)
        return false
    }
}
