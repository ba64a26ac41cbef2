import Telemetry

/// What the requests of one event loop came to. One writer, the loop; anybody may read, and may be a few records behind.
final class LoadCounts: Sendable {
    /// Measured requests of one kind.
    final class Class: Sendable {
        let responseTimes = Histogram()
        let bodyBytes = Counter()
        let failed = Counter()
    }

    /// Measured requests that failed, by ``FailureKind/index``.
    let failures = CounterRow(count: FailureKind.allCases.count)
    let classes: [Class]
    let serviceTimes = Histogram()
    let scheduleLag = Histogram()
    let scheduled = Counter()
    let delayed = Counter()
    let connections = Counter()
    let socketShortages = Counter()
    /// Everything that ended, measured or not: what is shown while it runs, and what a warm-up is judged by.
    let allResponseTimes = Histogram()
    let allFailed = Counter()

    init(classCount: Int) {
        classes = (0..<max(classCount, 1)).map { _ in Class() }
    }

    func failed(_ kind: FailureKind, class index: Int) {
        failures.add(kind.index)
        classes[index].failed.add()
    }

    func succeeded(class index: Int, responseTime: UInt64, serviceTime: UInt64, bodyByteCount: Int) {
        classes[index].responseTimes.record(nanoseconds: responseTime)
        classes[index].bodyBytes.add(bodyByteCount)
        serviceTimes.record(nanoseconds: serviceTime)
    }
}

extension LoadReport {
    /// Adds what one event loop counted.
    mutating func add(_ counts: LoadCounts, classNames: [String]) {
        for kind in FailureKind.allCases {
            let count = Int(clamping: counts.failures.value(kind.index))
            if count > 0 { failures[kind, default: 0] += count }
        }
        if classes.isEmpty { classes = classNames.map { ClassReport(name: $0) } }
        for (index, one) in counts.classes.enumerated() where index < classes.count {
            let times = one.responseTimes.snapshot()
            classes[index].responseTimes.merge(times)
            classes[index].failed += Int(clamping: one.failed.value)
            classes[index].bodyBytes += Int(clamping: one.bodyBytes.value)
            responseTimes.merge(times)
            succeeded += Int(clamping: times.count)
            bodyBytes += Int(clamping: one.bodyBytes.value)
        }
        serviceTimes.merge(counts.serviceTimes.snapshot())
        open?.scheduleLag.merge(counts.scheduleLag.snapshot())
        open?.scheduled += Int(clamping: counts.scheduled.value)
        open?.delayed += Int(clamping: counts.delayed.value)
        connections += Int(clamping: counts.connections.value)
        socketShortages += Int(clamping: counts.socketShortages.value)
    }
}
