import ArgumentParser
import Foundation
import LoadGenerator

/// `headrace doctor URL`: what is wrong with a site, seen from outside, with nothing of ours deployed.
///
/// Exit codes: 0 when nothing is wrong, 1 when something is, 69 when the site cannot be reached.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what makes a site slow: uncompressed, uncacheable, sent again, late.",
        discussion: """
            EXAMPLES:
              headrace doctor https://example.com/
              headrace doctor http://127.0.0.1:3000/scans --only page-compression,not-modified
              headrace doctor https://example.com/ --json
              headrace doctor --list

            Fetches the page and what it brings, a dozen to a hundred requests one after the other, and needs nothing but the URL. Sizes are \
            exact: what is not compressed is compressed here. Exits with 1 if something is wrong.
            """)

    @Argument(help: "The page to look at.")
    var url: String?

    @Option(name: [.customLong("header"), .customShort("H")], help: "A field to send with each request, such as a cookie; may be repeated.")
    var headers: [String] = []

    @Option(help: ArgumentHelp("These checks alone.", valueName: "names"))
    var only: String?

    @Option(help: "For each response.")
    var timeout = "10s"

    @Flag(name: .customLong("insecure"), help: "Take any certificate.")
    var isInsecure = false

    @Flag(help: "Print what is checked, and why.")
    var list = false

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        _ = try checks()
        _ = try WorkloadOptions.duration(timeout, "--timeout")
        if !list { _ = try target() }
    }

    struct Document: Encodable {
        struct Check: Encodable {
            var number: Int
            var name: String
            var title: String
            /// `good`, `problem` or `not-applicable`.
            var outcome: String
            var evidence: [String]
            var why: String
            var fix: String
        }

        var headrace = "doctor"
        var schema = 1
        var url: String
        var problems: Int
        var checks: [Check]
    }

    func run() async throws {
        let checks = try checks()
        if list {
            var table = TextTable(columns: [.right("#"), .left("check"), .left("what"), .left("why")])
            for (number, check) in checks { table.add(["\(number)", check.name, check.title, check.why]) }
            return Terminal.print(table.rendered())
        }
        let fields = try headers.map { text in
            guard let colon = text.firstIndex(of: ":") else { throw ValidationError("--header \(text): 'Name: value'") }
            return Workload.Field(String(text[..<colon]), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces))
        }
        let evidence: SiteEvidence
        do {
            let visit = SiteVisit(timeout: try WorkloadOptions.duration(timeout, "--timeout"), verifies: !isInsecure, fields: fields)
            evidence = try await visit.evidence(try target())
        } catch let error as any CustomStringConvertible & Error {
            Terminal.fail(error.description)
            throw ExitCode.unavailable
        }
        let outcomes = checks.map { (number: $0.number, check: $0.check, outcome: $0.check.judge(evidence)) }
        let problems = outcomes.count { if case .problem = $0.outcome { true } else { false } }
        if json {
            Terminal.print(try ComparisonTable.json(Self.document(url: evidence.page.url, problems: problems, outcomes)))
        } else {
            Terminal.print(Self.text(evidence, outcomes, problems: problems))
        }
        if problems > 0 { throw ExitCode.failure }
    }

    private static func text(
        _ evidence: SiteEvidence, _ outcomes: [(number: Int, check: SiteCheck, outcome: SiteCheck.Outcome)], problems: Int
    ) -> String {
        let bytes = evidence.all.reduce(0) { $0 + $1.bytes }
        var text = "\(evidence.page.url): a page and \(evidence.files.count) files, \(bytes) bytes\n\n"
        for (number, check, outcome) in outcomes {
            let place = "\(number < 10 ? " " : "")\(number)"
            switch outcome {
            case .good(let evidence): text += "\(place)  ok   \(check.title): \(evidence)\n"
            case .notApplicable(let reason): text += "\(place)  –    \(check.title): \(reason)\n"
            case .problem(let lines):
                text += "\(place)  BAD  \(check.title)? No.\n"
                for line in lines { text += "         \(line)\n" }
                text += "         Why: \(check.why)\n         Fix: \(check.fix)\n"
            }
        }
        return text + "\n" + (problems == 0 ? "Nothing is wrong that can be seen from outside.\n" : "\(problems) of \(outcomes.count) checks found something.\n")
    }

    private static func document(
        url: String, problems: Int, _ outcomes: [(number: Int, check: SiteCheck, outcome: SiteCheck.Outcome)]
    ) -> Document {
        Document(
            url: url, problems: problems,
            checks: outcomes.map { number, check, outcome in
                let (name, evidence): (String, [String]) =
                    switch outcome {
                    case .good(let text): ("good", [text])
                    case .problem(let lines): ("problem", lines)
                    case .notApplicable(let reason): ("not-applicable", [reason])
                    }
                return .init(number: number, name: check.name, title: check.title, outcome: name, evidence: evidence, why: check.why, fix: check.fix)
            })
    }

    private func target() throws -> HTTPURL {
        guard let url else { throw ValidationError("which URL? headrace doctor https://example.com/") }
        do {
            return try HTTPURL(url)
        } catch {
            throw ValidationError("\(error)")
        }
    }

    /// With their numbers in the whole list.
    private func checks() throws -> [(number: Int, check: SiteCheck)] {
        let numbered = SiteChecks.all.enumerated().map { (number: $0 + 1, check: $1) }
        guard let only else { return numbered }
        let names = only.split(separator: ",").map(String.init)
        for name in names where !numbered.contains(where: { $0.check.name == name }) {
            throw ValidationError("--only \(name): there is no such check; headrace doctor --list")
        }
        return numbered.filter { names.contains($0.check.name) }
    }
}
