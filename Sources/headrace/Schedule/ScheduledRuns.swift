import Dashboard
import Foundation
import History
import Logging
import NIOPosix
import Telemetry

/// Runs the measurements of ``TestSchedule`` as children of this process, and says on the page what becomes of them.
struct ScheduledRuns: Sendable {
    let settings: ScheduleSettings
    /// The application, for proofs.
    let application: String?
    /// The file that this process was configured by: what is proved is what serves.
    let configuration: String?
    /// Where runs are kept.
    let history: String
    /// A folder for the log of the run in progress.
    let folder: String
    let dashboard: Dashboard
    let logger: Logger
    /// Where it may be waited for another machine.
    let network: NIOThreadPool

    /// Looks once a second until the task is cancelled; then the child in progress is ended.
    /// - Parameter address: where this process' own edge is reached.
    func run(address: String) async {
        let jobs = settings.jobs
        guard !jobs.isEmpty else { return }
        var schedule = TestSchedule(jobs, limits: settings.limits, now: Self.now, chance: Self.chance)
        var child: ScheduledChild?
        let lock = settings.lock.flatMap { try? RedisURL($0) }.map { ScheduleLock($0, password: settings.lockPassword) }
        var renewedAt: Int64 = 0
        dashboard.know(schedule)
        while !Task.isCancelled {
            if let running = child, let problem = running.ending() {
                schedule.ended(problem: problem.isEmpty ? nil : problem, log: running.lines, now: Self.now)
                child = nil
                await asked(lock) { $0.release() }
                report(schedule)
            }
            switch schedule.secondPassed(now: Self.now, traffic: dashboard.traffic, chance: Self.chance) {
            case .wait: break
            case .stop: child?.stop()
            case .start(let kind):
                if let lock {
                    let outcome = await asked(lock) { $0.take() } ?? .unknown("this process ends")
                    guard outcome == .held else {
                        schedule.refused(Self.words(outcome), now: Self.now)
                        // That another one measures is as it should be.
                        if case .unknown = outcome { report(schedule) }
                        break
                    }
                    renewedAt = Self.now
                }
                do {
                    child = try ScheduledChild(
                        arguments(kind, address: address), cpuSeconds: settings.cpuSeconds, seconds: Int(settings.limits.seconds) + 30,
                        log: "\(folder)/schedule-\(kind.rawValue).log")
                } catch {
                    schedule.ended(problem: "\(error)", log: [], now: Self.now)
                    await asked(lock) { $0.release() }
                }
            }
            // Behind the look at visitors: the lock's server may be away, and takes its time.
            if child != nil, let lock, Self.now - renewedAt >= ScheduleLock.renewalSeconds {
                switch await asked(lock, { $0.renew() }) ?? .unknown("this process ends") {
                case .held: renewedAt = Self.now
                case .taken(let words):
                    if schedule.lost("the lock was lost: \(words)", now: Self.now) == .stop { child?.stop() }
                case .unknown(let words):
                    // Another instance takes it once its time is over.
                    guard Self.now - renewedAt >= Int64(ScheduleLock.lifetime) - ScheduleLock.renewalSeconds else { break }
                    if schedule.lost("the lock was lost: \(words)", now: Self.now) == .stop { child?.stop() }
                }
            }
            dashboard.know(schedule)
            try? await Task.sleep(for: .seconds(1))
        }
        guard var running = child else { return }
        running.stop()
        // In a task of its own: this one is cancelled, and would not wait.
        for _ in 0..<50 where running.ending() == nil { await Task { try? await Task.sleep(for: .milliseconds(100)) }.value }
        running.stop()
        await asked(lock) { $0.release() }
    }

    /// On the thread that may wait for another machine, one after the other.
    @discardableResult
    private func asked<Value: Sendable>(_ lock: ScheduleLock?, _ body: @escaping @Sendable (ScheduleLock) -> Value) async -> Value? {
        guard let lock else { return nil }
        return await withCheckedContinuation { continuation in
            network.submit { state in continuation.resume(returning: state == .active ? body(lock) : nil) }
        }
    }

    private static func words(_ outcome: ScheduleLock.Outcome) -> String {
        switch outcome {
        case .held: ""
        case .taken(let holder): "another instance measures: \(holder)"
        case .unknown(let words): "whether another instance measures is not known: \(words)"
        }
    }

    private func report(_ schedule: TestSchedule) {
        guard let job = schedule.jobs.filter({ $0.last?.endedAt ?? 0 > 0 }).max(by: { $0.last?.endedAt ?? 0 < $1.last?.endedAt ?? 0 }), let last = job.last
        else { return }
        dashboard.mark(Marker(time: last.endedAt, kind: "test", text: "\(job.kind.rawValue): \(last.ending.rawValue)"))
        guard last.ending != .finished else { return }
        logger.warning("a scheduled measurement gave no good result", metadata: ["kind": "\(job.kind.rawValue)", "ending": "\(last.ending.rawValue)", "reason": "\(last.words)"])
    }

    /// - Parameter address: of the own edge, which is asked when no other target is named.
    func arguments(_ kind: TestSchedule.Kind, address: String) -> [String] {
        let targets = settings.targets.isEmpty ? [address + "/"] : settings.targets
        switch kind {
        case .load:
            return [
                "bench", "--until-eof", "--concurrency", settings.levels.map(String.init).joined(separator: ","), "--duration",
                DurationText.render(settings.levelTime), "--history", history,
            ] + targets
        case .proof:
            let paths = targets.map { target in
                let rest = target.components(separatedBy: "://").last ?? ""
                return rest.firstIndex(of: "/").map { String(rest[$0...]) } ?? "/"
            }
            return ["prove", "--until-eof", "--quick", "--app", application ?? "", "--history", history] + (configuration.map { ["--config", $0] } ?? []) + paths
        }
    }

    private static var now: Int64 { WallClock.nanoseconds() / 1_000_000_000 }
    private static func chance(_ most: Int64) -> Int64 { Int64.random(in: 0...max(0, most)) }
}
