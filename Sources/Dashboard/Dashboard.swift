public import History
import Telemetry

/// The dashboard: takes readings, keeps samples, and answers what is asked for. It knows no socket; the edge serves what it says.
///
/// One thread adds readings; any thread asks. ``add(_:)`` and ``answer(_:)`` may wait for the disk: neither is for an event loop.
public final class Dashboard: Sendable {
    public struct Options: Sendable, Equatable {
        /// The page's path, without a slash behind it.
        public var path = "/performance"
        /// 95 of 100 requests should take no longer, in seconds.
        public var objectiveP95 = 0.3
        /// The share of requests that should not fail.
        public var objectiveAvailability = 0.995
        /// What a gigabyte that was not sent would have cost, and in what; `nil` when nobody says.
        public var pricePerGigabyte: Double?
        public var currency = "EUR"
        /// Live streams at a time.
        public var watchersMax = 1000
        /// Of those, of one address that is no operator's: an office behind one has room, and takes not all.
        public var watchersPerClientMax = 50

        public init() {}
    }

    /// Samples go to the disk in batches: a kill loses no more than these seconds.
    static let flushSeconds: Int64 = 10
    /// In the list of the page.
    static let markersShown = 20

    let options: Options
    let feed: LiveFeed
    private let history: SampleHistory
    private let state: Lock<State>
    /// What is wrong with the disk was said.
    private let report: @Sendable (String) -> Void

    struct State {
        var previous: Reading?
        var ring = SampleRing(countMax: Int(SampleTier.second.keptSeconds))
        var tens: (slot: Int64, rollup: SampleRollup)?
        var minutes: (slot: Int64, rollup: SampleRollup)?
        var pending: [(tier: SampleTier, sample: Sample)] = []
        var markers: [Marker] = []
        /// Whoever watches has not been told of them yet.
        var news: [Marker] = []
        /// The newest that there are.
        var lastMarkers: [Marker] = []
        var flushedAt: Int64 = 0
        var hasFailed = false
        var facts = Facts()
        var services: [ServiceReport] = []
        var database: DatabaseFacts?
        var schedule: TestSchedule?
        /// Rendered for this second already, for operators and for everybody.
        var latest: [Bool: (time: Int64, bytes: [UInt8])] = [:]
    }

    /// - Parameter report: Is told when samples cannot be kept, once until they can.
    public init(options: Options, history: SampleHistory, now: Int64, report: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.history = history
        self.report = report
        feed = LiveFeed(countMax: options.watchersMax, clientCountMax: options.watchersPerClientMax)
        var state = State()
        // What another process of ours kept within the last hour is on the page at once.
        for sample in (try? history.samples(.second, now - SampleTier.second.keptSeconds..<now)) ?? [] { state.ring.append(sample) }
        state.lastMarkers = ((try? history.markers(0..<now + 1)) ?? []).suffix(Self.markersShown)
        state.flushedAt = now
        self.state = Lock(state)
    }

    // MARK: Numbers in

    public func know(_ facts: Facts) { state.withLock { $0.facts = facts } }

    public func know(_ services: [ServiceReport]) { state.withLock { $0.services = services } }

    /// - Parameter database: `nil` when it is not known any more.
    public func know(_ database: DatabaseFacts?) { state.withLock { $0.database = database } }

    public func know(_ schedule: TestSchedule) { state.withLock { $0.schedule = schedule } }

    /// How requests fared in the last ten seconds.
    public var traffic: TestSchedule.Traffic {
        guard let window = withState({ Self.window($0, seconds: Self.nowSeconds) }) else { return .init() }
        let requests = Self.seconds(window, .requests) ?? 0
        return .init(
            p99: window.distributions[Timed.response.place].percentile(99),
            errorShare: requests > 0 ? (Self.seconds(window, .responses_5xx) ?? 0) / requests : nil)
    }

    /// Puts a mark beside the numbers.
    public func mark(_ marker: Marker) { _ = mark(marker, freshMax: .max) }

    /// - Returns: whether there was room among those that are not written yet.
    func mark(_ marker: Marker, freshMax: Int) -> Bool {
        state.withLock { state in
            guard state.markers.count < freshMax else { return false }
            state.markers.append(marker)
            state.news.append(marker)
            state.lastMarkers = (state.lastMarkers + [marker]).suffix(Self.markersShown)
            return true
        }
    }

    /// Puts the mark of our start there: a deploy, where the start before it was another version's.
    public func markStart(version: String, now: Int64) {
        let own = "Headrace \(version)"
        let starts = ((try? history.markers(0..<now + 1)) ?? []).filter { $0.kind == "start" || $0.kind == "deploy" }
        // Of a deploy's words, those before the version that it took the place of.
        let before = starts.last.map { $0.text.split(separator: ",").first.map(String.init) ?? "" }
        guard let before, before != own else { return mark(Marker(time: now, kind: "start", text: own)) }
        mark(Marker(time: now, kind: "deploy", text: "\(own), \(before) before"))
    }

    /// Takes the next reading, and hands what it makes of it to whoever watches.
    public func add(_ reading: Reading) {
        let (sample, news, batch) = state.withLock { state -> (Sample?, [Marker], (samples: [(tier: SampleTier, sample: Sample)], markers: [Marker])?) in
            guard let previous = state.previous, previous.time < reading.time else {
                // The first, or the clock was set back: differences begin here. Two within one second: the second one waits.
                if state.previous.map({ $0.time > reading.time }) ?? true { state.previous = reading }
                return (nil, [], nil)
            }
            let news = state.news
            state.news = []
            let sample = reading.sample(since: previous)
            state.previous = reading
            state.add(sample)
            // The clock was set back: the next batch is due from here on.
            state.flushedAt = min(state.flushedAt, reading.time)
            guard reading.time - state.flushedAt >= Self.flushSeconds else { return (sample, news, nil) }
            return (sample, news, state.takeBatch(now: reading.time))
        }
        if let sample, feed.count > 0 {
            // They ask for it when the event comes, all at the same time: then it is there.
            for isOperator in feed.audiences {
                _ = latest(isOperator: isOperator)
                feed.send(Array(event(sample, news.map { $0.seen(byOperator: isOperator) }).utf8), toOperators: isOperator)
            }
        }
        if let batch { keep(batch.samples, batch.markers, now: reading.time) }
    }

    /// Keeps what is left, at the end.
    public func finish(now: Int64) {
        let batch = state.withLock { state in
            for tier in [SampleTier.tenSeconds, .minute] { state.close(tier) }
            return state.takeBatch(now: now)
        }
        keep(batch.samples, batch.markers, now: now)
    }

    private func keep(_ samples: [(tier: SampleTier, sample: Sample)], _ markers: [Marker], now: Int64) {
        do throws(SampleHistory.Unusable) {
            try history.add(samples, markers: markers, now: now)
            state.withLock { $0.hasFailed = false }
        } catch {
            let isNews = state.withLock { state in
                defer { state.hasFailed = true }
                return !state.hasFailed
            }
            if isNews { report("the dashboard's samples are not kept: \(error)") }
        }
    }

    // MARK: Numbers out

    /// What the metrics say besides the layers' own counters.
    public struct Standing: Sendable {
        public var options: Options
        public var facts: Facts
        public var services: [ServiceReport]
        /// The last reading, whose counters are since the start.
        public var reading: Reading?
        /// The most that an event loop of the edge came late within the last minute, in seconds.
        public var loopLagSeconds: Double?
        public var database: DatabaseFacts?

        public init(
            options: Options = .init(), facts: Facts = .init(), services: [ServiceReport] = [], reading: Reading? = nil, loopLagSeconds: Double? = nil,
            database: DatabaseFacts? = nil
        ) {
            self.options = options
            self.facts = facts
            self.services = services
            self.reading = reading
            self.loopLagSeconds = loopLagSeconds
            self.database = database
        }
    }

    public var standing: Standing {
        state.withLock { state in
            Standing(
                options: options, facts: state.facts, services: state.services, reading: state.previous,
                loopLagSeconds: Self.window(state, seconds: 60).flatMap { Self.seconds($0, .loop_lag_seconds) },
                database: state.database)
        }
    }

    /// The last so many seconds as one sample; `nil` before the first is over.
    static func window(_ state: State, seconds: Int) -> Sample? {
        let samples = state.ring.suffix(seconds)
        guard let first = samples.first else { return nil }
        var rollup = SampleRollup(time: first.time)
        for sample in samples { rollup.add(sample) }
        return rollup.sample
    }

    func withState<Value: Sendable>(_ read: (State) -> Value) -> Value { state.withLock { read($0) } }

    /// What can be answered without waiting for anybody: `latest.json`, where it was made for this second already. For any thread.
    public func answerAtHand(_ request: DashboardRequest) -> DashboardAnswer? {
        guard request.post == nil, Self.latestPaths.contains(request.path) else { return nil }
        return latestAtHand(isOperator: request.isOperator).map { Self.json(200, $0) }
    }

    private func latestAtHand(isOperator: Bool) -> [UInt8]? {
        state.withLock { state in
            guard let cached = state.latest[isOperator], cached.time == (state.previous?.time ?? 0) else { return nil }
            return cached.bytes
        }
    }

    /// The document of ``latestDocument(_:isOperator:)``, made at most once a second for each kind of reader.
    func latest(isOperator: Bool) -> [UInt8] {
        if let known = latestAtHand(isOperator: isOperator) { return known }
        let copy = state.withLock { $0 }
        let bytes = Array(Self.latestDocument(copy, options, isOperator: isOperator).rendered.utf8)
        state.withLock { $0.latest[isOperator] = (copy.previous?.time ?? 0, bytes) }
        return bytes
    }

    /// Samples of a stretch of time, from where they are kept finely enough.
    func samples(_ times: Range<Int64>, now: Int64) throws(SampleHistory.Unusable) -> (tier: SampleTier, samples: [Sample]) {
        let age = now - times.lowerBound
        let tier = SampleTier.allCases.first { age <= $0.keptSeconds } ?? .minute
        if tier == .second {
            return (tier, state.withLock { $0.ring.suffix($0.ring.count) }.filter { times.contains($0.time) })
        }
        var samples = try history.samples(tier, times)
        let rest = state.withLock { state in
            state.pending.filter { $0.tier == tier }.map(\.sample) + [state.open(tier)].compactMap { $0 }
        }
        samples += rest.filter { times.contains($0.time) && $0.time > samples.last?.time ?? .min }
        return (tier, samples)
    }

    func markers(_ times: Range<Int64>) throws(SampleHistory.Unusable) -> [Marker] {
        try history.markers(times) + state.withLock { $0.markers }.filter { times.contains($0.time) }
    }
}

extension Dashboard.State {
    /// Puts a second where it belongs: the ring, and the samples of longer stretches that are being made.
    fileprivate mutating func add(_ sample: Sample) {
        ring.append(sample)
        pending.append((.second, sample))
        for tier in [SampleTier.tenSeconds, .minute] {
            let slot = sample.time - sample.time % Int64(tier.seconds)
            let keyPath = Self.place(tier)
            if let open = self[keyPath: keyPath], open.slot != slot { close(tier) }
            if self[keyPath: keyPath] == nil { self[keyPath: keyPath] = (slot, SampleRollup(time: slot)) }
            self[keyPath: keyPath]?.rollup.add(sample)
        }
    }

    private static func place(_ tier: SampleTier) -> WritableKeyPath<Self, (slot: Int64, rollup: SampleRollup)?> {
        tier == .tenSeconds ? \.tens : \.minutes
    }

    fileprivate mutating func close(_ tier: SampleTier) {
        if let sample = open(tier) { pending.append((tier, sample)) }
        self[keyPath: Self.place(tier)] = nil
    }

    /// What the stretch in progress has come to.
    fileprivate func open(_ tier: SampleTier) -> Sample? { self[keyPath: Self.place(tier)]?.rollup.sample }

    fileprivate mutating func takeBatch(now: Int64) -> (samples: [(tier: SampleTier, sample: Sample)], markers: [Marker]) {
        defer { (pending, markers, flushedAt) = ([], [], now) }
        return (pending, markers)
    }
}
