import Edge
import Keyspace
import Pooler
import Transport

/// Whether what the layers may take fits into `memory.total`, with nothing given up for it.
///
/// Only what stays is counted in full: stored responses, keys, and responses that are held until they are whole. What connections hold while bytes are on their way depends on
/// how slow their peers are, and is what the process gives up when the total is near.
enum MemoryBudget {
    /// Of the program, its stacks, and what its allocator keeps.
    static let processBytes = 48 << 20
    /// Of a connection that waits: its channel, handlers and buffers.
    static let connectionBytes = 4 << 10

    struct Part: Equatable {
        let text: String
        let bytes: Int
    }

    static func parts(_ settings: Settings) -> [Part] {
        var parts: [Part] = []
        func add(_ key: String, _ bytes: Int) { parts.append(Part(text: "\(key) \(SizeText.render(bytes))", bytes: bytes)) }
        func add(_ key: String, connections: Int) {
            parts.append(Part(text: "\(key) \(connections) × \(SizeText.render(connectionBytes))", bytes: connections * connectionBytes))
        }
        if settings.hasEdge {
            let edge = settings.edgeConfiguration
            if edge.cache.isEnabled { add("edge.cache.size", edge.cache.bytesMax) }
            add("edge.limits.buffered_responses", edge.bufferedResponseBytesMax)
            add("edge.limits.connections", connections: edge.limits.connectionsMax)
            let limited = edge.routeTable.count { $0.rateLimit.rate != nil }
            if limited > 0 {
                parts.append(Part(text: "limits.rate of routes \(limited) × \(SizeText.render(RateLimit.tableBytes))", bytes: limited * RateLimit.tableBytes))
            }
        }
        if settings.poolerConfiguration != nil { add("pooler.limits.client_connections", connections: settings.pooler.limits.clientConnectionsMax) }
        if settings.hasKeyspace {
            add("keyspace.maxmemory", settings.keyspace.bytesMax)
            add("keyspace.clients", connections: settings.keyspace.clientsMax)
        }
        return parts + [Part(text: "\(SizeText.render(processBytes)) for the process itself", bytes: processBytes)]
    }

    /// - Returns: `nil` when all fits, or no total is set.
    static func problem(_ settings: Settings) -> String? {
        guard let total = settings.memoryBytesMax else { return nil }
        if settings.hasKeyspace, settings.keyspace.bytesMax == 0 {
            return "memory.total is \(SizeText.render(total)), but keyspace.maxmemory has no bound"
        }
        let parts = parts(settings)
        let sum = parts.reduce(0) { $0 + $1.bytes }
        // Whole megabytes, as a size is written.
        let room = (Int(Double(total) * MemoryPressure.restShare) >> 20) << 20
        guard sum > room else { return nil }
        return "memory.total is \(SizeText.render(total)), of which \(Int((MemoryPressure.restShare * 100).rounded())) % may be filled for long: \(SizeText.render(room)); "
            + "but its parts come to \(SizeText.render(sum)): " + parts.map(\.text).joined(separator: " + ")
    }
}
