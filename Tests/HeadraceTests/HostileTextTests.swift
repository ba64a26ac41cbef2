import Foundation
import TestSupport
import Testing

@testable import headrace

/// What operators give the program to read, with whatever may be wrong with it: refused with words and a place, and never a trap.
///
/// How it works:
/// 1. The inputs to begin with are such as people write: the example file's beginning, routes, schedules; lines of the usual logs.
/// 2. From a seed, others are made of them (``InputMutation``), and each is read as it would be from a file. `.ci/run` does so for 30 s.
/// 3. A trap ends the process, within the test that is named last.
@Suite struct HostileTextTests {
    private static let inputCount = 2000

    private static let files = [
        "edge:\n  app: http://127.0.0.1:3000\n  listen: [127.0.0.1:8080, unix:/run/h.sock]\n  cache: {size: 1GB, key: {ignore_query: [utm_*]}, negative: {404: 10s}}\n",
        "edge:\n  upstreams:\n    app: {members: [http://127.0.0.1:1 weight=3, \"unix:/run/a b\"], retry: {attempts: 2}}\n  routes:\n    - {name: a, match: {path: [/a], client: [10.0.0.0/8]}, upstream: app}\n    - match: {host: [\"*.a\"]}\n      respond: {status: 204}\n",
        "pooler: &p\n  listen: [127.0.0.1:6432]\n  postgres: postgres://app@127.0.0.1:5432/shop?sslmode=require\nkeyspace:\n  listen: [127.0.0.1:6379]\n  save: [1h 1, 5m 100]\n  users:\n    - app on >x ~a:* +@all\n",
        "schedule:\n  load: {at: \"*/15 8-18 * * mon-fri\"}\nedge: {early_hints: {links: [\"</a.css>; rel=preload\"], learn: true}, tls: {hsts: 4380h}}\n",
        "- a\n- &a [1, 2, *a]\n--- \nedge: !!map {threads: 0x10, app: |\n  text\n}\n",
    ].map { Array($0.utf8) }

    private static let lines = [
        #"127.0.0.1 - frank [25/Nov/2026:13:55:36 +0000] "GET /a?b=c HTTP/1.0" 200 2326 "http://x/" "Mozilla/5.0 [en]""#,
        #"{"time_iso8601":"2026-11-25T13:55:36.123+01:00","request":"GET /a?b=c HTTP/2.0","status":"200"}"#,
        #"{"msec":1769860800.5,"request_method":"GET","request_uri":"/a\u00e9?b=c","more":[1,{"a":null}]}"#,
        #"{"time":"2026-11-25T13:55:36Z","client":"::1","method":"GET","host":"h","target":"/a?b=c","status":200,"ms":1.2}"#,
    ].map { Array($0.utf8) }

    private static let words = ["edge", ": ", "\n  ", "\t", "[", "]", "{", "}", "&a ", "*a", "!!", "\"", "'", "- ", "1e300", "-0", "\u{FEFF}", "é", "99999999999999999999"].map { Array($0.utf8) }

    @Test func `a configuration is read, or every mistake in it has its words and a place within the file`() throws {
        var mutation = InputMutation(corpus: Self.files, words: Self.words, seed: 20_260_102, bytesMax: 2048)
        var accepted = 0
        for number in InputNumbers(Self.inputCount) {
            let text = String(decoding: number < Self.files.count ? Self.files[number] : mutation.next(), as: UTF8.self)
            var sources = ConfigurationSources()
            sources.file = ("headrace.yaml", text)
            struct NoSuchFile: Error {}
            sources.readSecret = { _ in throw NoSuchFile() }
            do throws(ConfigurationProblems) {
                _ = try sources.load()
                accepted += 1
            } catch {
                #expect(!error.rendered.isEmpty && !error.problems.isEmpty, "\(text)")
                let lineCount = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).count
                for problem in error.problems {
                    guard case .file(_, let line, let column, _) = problem.place else { continue }
                    // Behind the last line, where something is missing.
                    #expect(line >= 1 && line <= lineCount + 1 && column >= 0, "\(problem) in \(text)")
                }
            }
        }
        #expect(accepted > 0, "no input was one: the test reads nothing")
    }

    @Test func `a line of an access log is a request and perhaps its time, or none`() {
        var mutation = InputMutation(corpus: Self.lines, words: Self.words, seed: 20_260_103, bytesMax: 2048)
        var (all, count) = (0, 0)
        for number in InputNumbers(4 * Self.inputCount) {
            all += 1
            let text = String(decoding: number < Self.lines.count ? Self.lines[number] : mutation.next(), as: UTF8.self)
            guard let entry = AccessLogLine(text) else { continue }
            count += 1
            #expect(entry.target.hasPrefix("/") && !entry.method.isEmpty, "\(text)")
            if let time = entry.time { #expect(time >= 0 && time < LogTime.secondsEnd, "\(text)") }
        }
        #expect(count > all / 16, "too few are requests: the test reads nothing")
    }
}
