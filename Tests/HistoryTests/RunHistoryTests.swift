import Foundation
import History
import Testing

@Suite struct RunHistoryTests {
    private static func path() -> String {
        FileManager.default.temporaryDirectory.appending(path: "history-\(UUID().uuidString)/state/history.sqlite").path
    }

    private static func remove(_ path: String) {
        try? FileManager.default.removeItem(at: URL(filePath: path).deletingLastPathComponent().deletingLastPathComponent())
    }

    @Test func `what was added is there for the next process, in order`() throws {
        let path = Self.path()
        defer { Self.remove(path) }
        var history: RunHistory? = try RunHistory(path: path)
        #expect(try history?.add(.bench, startedAt: 100, subject: "http://a/", document: #"{"a":"Ü 'x'"}"#) == 1)
        #expect(try history?.add(.prove, startedAt: 200, subject: "http://b/", document: "{}") == 2)
        history = nil
        let again = try RunHistory(path: path)
        #expect(try again.add(.bench, startedAt: 300, subject: "http://c/", document: "{}") == 3)
        #expect(try again.run(1)?.document == #"{"a":"Ü 'x'"}"#)
        #expect(try again.run(9) == nil)
        #expect(try again.runs(since: 150).map(\.number) == [2, 3])
        #expect(try again.runs(since: 0, kind: .bench).map(\.subject) == ["http://a/", "http://c/"])
        #expect(try again.runs(since: 0, limit: 2).map(\.number) == [2, 3])
    }

    @Test func `two at a time lose nothing`() async throws {
        let path = Self.path()
        defer { Self.remove(path) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    let history = try RunHistory(path: path)
                    for index in 0..<10 { try history.add(.bench, startedAt: Double(index), subject: "\(worker)", document: "{}") }
                }
            }
            try await group.waitForAll()
        }
        #expect(try RunHistory(path: path).runs(since: 0).count == 40)
    }

    @Test func `what is no history is refused, and left as it was`() throws {
        let path = Self.path()
        defer { Self.remove(path) }
        try FileManager.default.createDirectory(at: URL(filePath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
        let text = String(repeating: "these are notes, and no database\n", count: 100)
        try Data(text.utf8).write(to: URL(filePath: path))
        #expect(throws: RunHistory.Unusable.self) { try RunHistory(path: path) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
    }

    @Test func `a document beyond the limit is refused`() throws {
        let path = Self.path()
        defer { Self.remove(path) }
        let history = try RunHistory(path: path)
        let large = String(repeating: "x", count: RunHistory.documentBytesMax)
        #expect(try history.add(.bench, startedAt: 0, subject: "", document: large) == 1)
        #expect(throws: RunHistory.Unusable.self) { try history.add(.bench, startedAt: 0, subject: "", document: large + "x") }
    }
}
