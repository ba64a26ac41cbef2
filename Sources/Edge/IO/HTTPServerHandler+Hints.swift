import HTTPSemantics
import NIOCore

// 103 Early Hints of the edge's own: what the page will need, said while the application makes it.

extension HTTPServerHandler {
    /// Says once what is configured for the route, and what was learnt of the page.
    func hintEarly() {
        guard let route, let hints = route.earlyHints, hasBegun, exchange.hints.isEmpty, responseFraming == nil,
            hints.areFor(connection.head, isHTTP2: link != nil)
        else { return }
        var learnt: [[UInt8]] = []
        if hints.learns {
            assignKey(connection.head, route)
            learnt = worker.store.hints.links(worker.key).filter { !hints.links.contains($0) }
        }
        let links = hints.links + learnt
        guard !links.isEmpty else { return }
        exchange.hints = links
        exchange.hasLearntHints = !learnt.isEmpty
        worker.metrics.hinted(configured: hints.links.count, learnt: learnt.count)
        if let link {
            var head = ByteBuffer()
            EarlyHints.write(links, into: &head)
            return link.connection.sendInterim(head, on: link.stream)
        }
        turn { EarlyHints.write(links, into: &output) }
        flush()
    }

    /// Forgets what was learnt of a page that turns out not to say it any more, whoever asked for it.
    func checkHints(_ head: ResponseHead) {
        guard exchange.hasLearntHints, let route, head.status != 304 else { return }
        // Moved, gone, or for those who log in: no page that says anything to everybody.
        let said = EarlyHints.isPage(head) ? EarlyHints.links(of: head.fields) : []
        assignKey(connection.head, route)
        let learnt = worker.store.hints.links(worker.key)
        if !learnt.allSatisfy(said.contains) { worker.store.hints.learn([], worker.key) }
    }
}
