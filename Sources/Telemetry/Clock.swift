#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The time of day. It may jump when an operator or NTP sets it: never measure a duration with it.
public enum WallClock {
    /// Nanoseconds since 1970-01-01 UTC.
    public static func nanoseconds() -> Int64 {
        read(CLOCK_REALTIME)
    }
}

/// Time that only goes forward, from an arbitrary start. For durations and deadlines.
public enum MonotonicClock {
    public static func nanoseconds() -> UInt64 {
        UInt64(clamping: read(CLOCK_MONOTONIC))
    }
}

/// CPU time that the process has taken, in user space and in the kernel.
public enum ProcessClock {
    public static func nanoseconds() -> Int64 {
        read(CLOCK_PROCESS_CPUTIME_ID)
    }
}

/// CPU time that the calling thread has taken.
public enum ThreadClock {
    public static func nanoseconds() -> Int64 {
        read(CLOCK_THREAD_CPUTIME_ID)
    }
}

private func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
