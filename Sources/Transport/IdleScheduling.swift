import CEpoll

/// `SCHED_IDLE` (sched(7)): a thread has a core only where nobody else wants it.
public enum IdleScheduling {
    /// Of the calling thread, for good: only some users get back. A refusal is no harm.
    public static func begin() { headrace_schedule_as_idle() }
}
