import Dashboard
import LoadGenerator
import NIOCore

/// The measurements that the process starts by itself.
struct ScheduleSettings: Sendable, Equatable {
    var load: CronExpression?
    var proof: CronExpression?
    /// URLs; none for the page `/` of the own edge.
    var targets: [String] = []
    var levels = [5, 20, 50]
    var levelTime = TimeAmount.seconds(10)
    var timeMax = TimeAmount.minutes(20)
    var cpuTimeMax = TimeAmount.minutes(5)
    var jitter = TimeAmount.minutes(2)
    var abortTime = TimeAmount.seconds(2)
    var abortErrors = 0.05
    /// A keyspace, Redis or Valkey that all instances know; `nil` for instances that know nothing of each other.
    var lock: String?
    var lockPassword: String?

    var cpuSeconds: Int { Int(cpuTimeMax.nanoseconds / 1_000_000_000) }

    var jobs: [(TestSchedule.Kind, CronExpression)] {
        [load.map { (.load, $0) }, proof.map { (.proof, $0) }].compactMap { $0 }
    }

    var limits: TestSchedule.Limits {
        var limits = TestSchedule.Limits()
        limits.seconds = timeMax.nanoseconds / 1_000_000_000
        limits.p99 = Double(abortTime.nanoseconds) / 1e9
        limits.errorShare = abortErrors
        limits.jitterSeconds = jitter.nanoseconds / 1_000_000_000
        return limits
    }
}

enum ScheduleKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "schedule.load", \.schedule.load, .optional(.cron, off: "off"),
            "When light, medium and heavy load is measured, in UTC: \"0 * * * *\" is each hour."),
        .init(
            "schedule.proof", \.schedule.proof, .optional(.cron, off: "off"),
            "When headrace prove --quick measures what the layers are worth to edge.app, in UTC: \"30 3 * * sun\" is each week."),
        .init(
            "schedule.targets", \.schedule.targets, .list("URLs", of: .pageURL, isEmptyAllowed: true),
            "What is asked for, of one origin; without any, / of this edge. A proof takes their paths."),
        .init("schedule.levels", \.schedule.levels, .list("numbers", of: .number(1...1000)), "Users that ask at the same time, measured one after the other."),
        .init("schedule.level_time", \.schedule.levelTime, .duration(.seconds(1)...(.minutes(10))), "How long each is measured."),
        .init("schedule.time_limit", \.schedule.timeMax, .duration(.seconds(10)...(.hours(6))), "A run that takes longer is ended."),
        .init("schedule.cpu_limit", \.schedule.cpuTimeMax, .duration(.seconds(1)...(.hours(1))), "CPU time that each process of a run may take; it has a low priority besides."),
        .init("schedule.jitter", \.schedule.jitter, .duration(.zero...(.hours(1))), "A run begins up to so much later, at random."),
        .init(
            "schedule.abort_time", \.schedule.abortTime, .duration(.milliseconds(10)...(.minutes(10))),
            "A run ends, or does not begin, while 1 of 100 requests to this edge takes longer."),
        .init("schedule.abort_errors", \.schedule.abortErrors, .share, "The same while a larger share of them fails."),
        .init(
            "schedule.lock", \.schedule.lock, .optional(.redisURL),
            """
            A keyspace, Redis or Valkey that several instances know, such as redis://10.0.0.5:6379/0: of all of them one measures at a time. \
            While it cannot be asked, none begins.
            """),
        .init("schedule.lock_password", \.schedule.lockPassword, .optional(.text("password")), isSecret: true, "For schedule.lock, when it asks for one."),
    ]
}

extension ValueFormat where Value == String {
    /// Of a page that is asked for: `http://127.0.0.1:8080/products`.
    static var pageURL: Self {
        Self(
            "URL", units: "http://HOST:PORT/PATH, https://HOST/PATH",
            parse: { word in
                guard (try? HTTPURL(word)) != nil else { throw ValueProblem("\"\(word)\" is no URL such as http://127.0.0.1:8080/products") }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == String {
    /// Without a password: that is a secret, and this is printed.
    static var redisURL: Self {
        Self(
            "address", units: "redis://10.0.0.5:6379/0",
            parse: { word in
                let url = try RedisURL(word)
                guard url.login.password == nil else { throw ValueProblem("a password does not stand in an address here: schedule.lock_password") }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == CronExpression {
    static var cron: Self {
        Self(
            "cron expression", units: "MINUTE HOUR DAY MONTH WEEKDAY, @hourly, @daily, @weekly",
            parse: { word in
                do throws(CronExpression.Problem) {
                    return try CronExpression(word)
                } catch {
                    throw ValueProblem(error.description)
                }
            }, render: { $0.description })
    }
}
