import Foundation
import Synchronization
import TestSupport
import Testing

@testable import headrace

@Suite struct PidFileTests {
    @Test func `who has the lock has the file, however closely another one lets go of it`() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/pid"
        let state = Mutex<(problems: Set<String>, running: Int)>(([], 3))
        for _ in 0..<3 {
            Thread.detachNewThread {
                for _ in 0..<4000 {
                    // Another one holds it.
                    guard let file = try? PidFile(path) else { continue }
                    file.announce()
                    do { _ = try PidFile.process(path) } catch { state.withLock { _ = $0.problems.insert("\(error)") } }
                    file.remove()
                }
                state.withLock { $0.running -= 1 }
            }
        }
        #expect(eventually { state.withLock { $0.running } == 0 })
        #expect(state.withLock { $0.problems } == [])
    }
}
