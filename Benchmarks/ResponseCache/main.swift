import Eviction
import HTTPSemantics
import NIOCore
import Telemetry

@testable import Edge

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// What a million stored responses cost: memory for each, time of a lookup, and the longest that a shard's lock is held to store one and to
// make room for it.
//
// How it works: 1. Responses of 500 bytes with a usual head are stored as a fetch stores them, each under a URL of its own. 2. At 10,000,
// 100,000 and 1,000,000 of them, keys drawn at random are looked up. 3. Each storing is timed alone, by the clock and by the thread's own
// processor time: another's turn on the core is in the first and not in the second, a page fault in both. 4. As many again are stored into a full
// cache.
//
// It leaves out: sockets, parsing, the making of the response. One thread: no lock is waited for.

private let bodyBytes = 500
private let counts = [10_000, 100_000, 1_000_000]
private let lookups = 200_000
private let now = NIODeadline.now()

private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var text = [UInt8](repeating: 0, count: 256)
    let count = fread(&text, 1, text.count, file)
    let words = String(decoding: text[..<count], as: UTF8.self).split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}

private func request(_ number: Int) -> RequestHead {
    var head = RequestHead()
    head.method = .get
    let target = "/products/\(number)/reviews?page=\(number % 7)"
    let text = Array("GET \(target) HTTP/1.1 shop.example".utf8)
    head.fields.replaceBytes(text.span)
    head.methodRange = 0..<3
    head.target = 4..<4 + target.utf8.count
    head.authority = text.count - 12..<text.count
    return head
}

private func response(_ number: Int) -> Representation {
    var head = ResponseHead()
    head.status = 200
    for (name, value) in [
        ("Date", "Sat, 31 Jan 2026 12:00:00 GMT"), ("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "public, max-age=600"),
        ("ETag", "\"5f3b-\(number)\""), ("Vary", "Accept-Encoding"),
    ] { head.fields.append(name, value) }
    let stored = StoredResponse(
        head: head, fields: head.fields, cacheControl: CacheControl(head.fields), lifetimeSeconds: 600, initialAgeSeconds: 0, received: now,
        codings: [], wasAskedForPlain: true)
    return ResponseCodec.representation(
        of: stored, coding: .identity, effort: .asReceived, body: StoredBody(ByteBuffer(repeating: UInt8(truncatingIfNeeded: number), count: bodyBytes)))
}

/// The key's memory is used again, as an event loop does.
private var key = CacheKey()

/// Nanoseconds, each in order.
private struct Times {
    private var byTheClock: [UInt64] = []
    private var ofTheThread: [UInt64] = []

    mutating func append(_ time: (clock: UInt64, thread: UInt64)) {
        byTheClock.append(time.clock)
        ofTheThread.append(time.thread)
    }

    mutating func sort() {
        byTheClock.sort()
        ofTheThread.sort()
    }

    /// Microseconds by the clock.
    func percentile(_ share: Double) -> Double { Double(byTheClock[min(byTheClock.count - 1, Int(share * Double(byTheClock.count)))]) / 1000 }
    var longestOwn: Double { Double(ofTheThread.last ?? 0) / 1000 }
}

/// - Returns: nanoseconds in which the shard's lock was held to store it.
@MainActor private func store(_ number: Int, in cache: ResponseStore) -> (clock: UInt64, thread: UInt64) {
    let head = request(number)
    key.assign(head, scope: [], seed: cache.seed)
    guard case .lead(let lease) = cache.withShard(key, { [key] in $0.join(key, head, follower: nil, now: now) }) else { return (0, 0) }
    let made = response(number)
    let own = ThreadClock.nanoseconds()
    let start = MonotonicClock.nanoseconds()
    cache.finish(lease, .store(made, requestFields: head.fields), key: key, now: now)
    let end = MonotonicClock.nanoseconds()
    return (end - start, UInt64(clamping: ThreadClock.nanoseconds() - own))
}

@MainActor private func lookUp(_ cache: ResponseStore, of count: Int) -> (nanoseconds: Double, hits: Int) {
    var state: UInt64 = 1
    let heads = (0..<1000).map { _ -> RequestHead in
        state = state &* 6_364_136_223_846_793_005 &+ 1
        return request(Int(state >> 33) % count)
    }
    var hits = 0
    let start = MonotonicClock.nanoseconds()
    for round in 0..<lookups {
        let head = heads[round % heads.count]
        key.assign(head, scope: [], seed: cache.seed)
        if cache.withShard(key, { [key] in $0.find(key, head, accepted: .identityOnly) != nil }) { hits += 1 }
    }
    return (Double(MonotonicClock.nanoseconds() - start) / Double(lookups), hits)
}

@MainActor private func main() {
    var configuration = EdgeConfiguration.Cache()
    configuration.bytesMax = 8 << 30
    let before = residentBytes()
    var cache = ResponseStore(configuration: configuration, codingOrder: [.gzip])
    print("| responses | bytes each, resident | bytes each, accounted | besides body | lookup ns | storing µs p50 / p99.9 / longest | longest, without others' turns |")
    print("|---|---|---|---|---|---|---|")
    var stored = 0
    for count in counts {
        var times = Times()
        while stored < count {
            times.append(store(stored, in: cache))
            stored += 1
        }
        times.sort()
        let (nanoseconds, hits) = lookUp(cache, of: count)
        precondition(hits == lookups, "\(hits) of \(lookups) were found")
        let resident = (residentBytes() - before) / count
        let accounted = cache.totals.memoryBytes / count
        print(
            "| \(count) | \(resident) | \(accounted) | \(accounted - bodyBytes) | \(Int(nanoseconds)) | "
                + "\(times.percentile(0.5)) / \(times.percentile(0.999)) / \(times.percentile(1)) | \(times.longestOwn) |")
    }
    // A cache that is full with these: each that comes makes another leave.
    configuration.bytesMax = cache.totals.memoryBytes
    cache = ResponseStore(configuration: configuration, codingOrder: [.gzip])
    for number in 0..<counts[2] { _ = store(number, in: cache) }
    let evicted = cache.totals.evicted
    var times = Times()
    for number in counts[2]..<2 * counts[2] { times.append(store(number, in: cache)) }
    times.sort()
    print(
        "\nFull: \(cache.totals.evicted - evicted) left for \(counts[2]) that came; storing with eviction, µs: p50 \(times.percentile(0.5)), "
            + "p99.9 \(times.percentile(0.999)), longest \(times.percentile(1)), without others' turns \(times.longestOwn).")
}

main()
