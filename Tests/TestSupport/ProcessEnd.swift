public import Foundation

extension Process {
    /// Waits for its end. `waitUntilExit` runs the thread's run loop meanwhile, and one that has nothing to do returns at once, over and
    /// over: each process that is waited for took a core from the others.
    public func waitForEnd() {
        while isRunning { usleep(3_000) }
    }
}
