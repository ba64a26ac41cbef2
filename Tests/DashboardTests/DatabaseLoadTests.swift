import Foundation
import History
import Testing

@testable import Dashboard

@Suite struct DatabaseLoadTests {
    private func count(_ time: Int64, _ transactions: Double?, asked: Double = 0, pooled: Double = 0, cpu: Double? = nil, startedAt: Int64 = 1) -> DatabaseLoad.Count {
        .init(time: time, startedAt: startedAt, transactions: transactions, asked: asked, pooled: pooled, cpuSeconds: cpu)
    }

    @Test func `cores and the pooler's share are those between the first and the last moment of a minute`() {
        var load = DatabaseLoad()
        #expect(load.cores == nil && load.pooledShare == nil)
        load.counted(count(100, 1000, asked: 10, pooled: 500, cpu: 7))
        #expect(load.cores == nil && load.pooledShare == nil, "one moment is no time")
        load.counted(count(115, 1310, asked: 20, pooled: 725, cpu: 13))
        // 310 more, ten of which were asked by us, and 225 came through the pooler.
        #expect(load.pooledShare == 0.75 && load.cores == 0.4)
        for time in stride(from: 130, through: 400, by: 15) as StrideThrough<Int64> {
            load.counted(count(time, 1310 + Double(time - 115) * 10, asked: 20, pooled: 725 + Double(time - 115), cpu: 13))
        }
        #expect(abs((load.pooledShare ?? 0) - 0.1) < 1e-9 && load.cores == 0, "what is older than a minute is forgotten")
    }

    @Test func `next to nothing has no share, and what is late makes no more than all of it`() {
        var load = DatabaseLoad()
        load.counted(count(0, 0))
        load.counted(count(15, 70, asked: 21, pooled: 49))
        #expect(load.pooledShare == nil && load.shareNote == "it had next to nothing to do")
        load.counted(count(30, 150, asked: 40, pooled: 130))
        #expect(load.pooledShare == 1)
        var past = DatabaseLoad()
        for time in [0, 15] as [Int64] { past.counted(count(time, Double(time) * 10)) }
        #expect(past.pooledShare == 0, "all of them went past it")
        var late = load
        late.counted(count(90, 160, asked: 100, pooled: 400))
        #expect(late.pooledShare == nil && late.shareNote == "its statements touch no table, and are counted late")
        load.counted(count(45, nil, asked: 40, pooled: 130))
        #expect(load.pooledShare == nil && load.shareNote == "it does not tell")
    }

    @Test func `a server that began anew, statistics that did, and a clock that is set back begin anew`() {
        for anew in [count(30, 900, pooled: 900, cpu: 9, startedAt: 2), count(30, 10, pooled: 900), count(10, 900, pooled: 900), count(30, 900, pooled: 1)] {
            var load = DatabaseLoad()
            load.counted(count(0, 0, cpu: 0))
            load.counted(count(15, 500, pooled: 500, cpu: 5))
            #expect(load.pooledShare == 1)
            load.counted(anew)
            #expect(load.pooledShare == nil && load.cores == nil && load.shareNote == "known after half a minute")
        }
    }

    @Test func `PostgreSQL has its share and its costs in the strip, and says why where it has none`() throws {
        func layers(_ database: DatabaseFacts?) throws -> [String: [String: Any]] {
            var facts = Facts()
            (facts.switches.postgres, facts.switches.pooler) = (true, true)
            let list = Layer.all(.second(0, [.pool_queries: 9]), facts, database)
            return try Dictionary(uniqueKeysWithValues: list.map { layer in
                (layer.name, try #require(try JSONSerialization.jsonObject(with: Data(layer.json.rendered.utf8)) as? [String: Any]))
            })
        }
        var database = DatabaseFacts()
        database.load.counted(count(0, 0, cpu: 1))
        database.load.counted(count(20, 100, pooled: 80, cpu: 6))
        (database.cpuSeconds, database.memoryBytes) = (6, 3e7)
        var found = try #require(try layers(database)["postgresql"])
        #expect(found["state"] as? String == "on" && found["share"] as? Double == 0.8 && found["cpu_cores"] as? Double == 0.25 && found["memory_bytes"] as? Double == 3e7)
        #expect(found["share_note"] is NSNull && found["cost_note"] is NSNull)
        found = try #require(try layers(DatabaseFacts())["postgresql"])
        #expect(found["share"] is NSNull && found["share_note"] as? String == "known after half a minute")
        #expect(found["cpu_cores"] is NSNull && found["cost_note"] as? String == "its processes are not seen from here")
        database = DatabaseFacts()
        database.areProcessesHidden = true
        #expect(try layers(database)["postgresql"]?["cost_note"] as? String == "other users' processes are hidden: ProtectProc")
        let unasked = try layers(nil)
        for name in ["postgresql", "pooler"] { #expect((unasked[name]?["share_note"] as? String)?.hasPrefix("PostgreSQL cannot be asked") == true) }
        #expect(unasked["browser_caching"]?["cost_note"] as? String == "part of the edge's")
    }
}
