import Transport

/// A product that may have a process of its own.
enum Layer: String, CaseIterable, Sendable {
    case edge
    case pooler
    case keyspace
}

/// Into how many processes the products are put.
enum ProcessLayout: String, CaseIterable, Sendable {
    case one
    case perLayer = "per-layer"
}

extension Settings {
    /// What there is to serve.
    var layers: [Layer] {
        Layer.allCases.filter { layer in
            switch layer {
            case .edge: hasEdge
            case .pooler: poolerConfiguration != nil
            case .keyspace: hasKeyspace
            }
        }
    }

    /// Where a layer listens, in the order in which it binds.
    func endpoints(of layer: Layer) -> [SocketEndpoint] {
        switch layer {
        case .edge: edge.listen + edge.tls.listen
        case .pooler: pooler.listen
        case .keyspace: keyspace.listen + keyspace.tls.listen
        }
    }
}
