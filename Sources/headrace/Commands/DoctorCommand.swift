import ArgumentParser
import Foundation
import LoadGenerator

/// `headrace doctor URL`: what is wrong with a site, seen from outside, with nothing of ours deployed. With a configuration: whether traffic
/// really passes through each layer of the Headrace that runs under it.
///
/// Exit codes: 0 when nothing is wrong, 1 when something is, 69 when the site cannot be reached (with a configuration that is a finding), 78
/// when the configuration has mistakes.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what makes a site slow: uncompressed, uncacheable, sent again, late.",
        discussion: """
            EXAMPLES:
              headrace doctor https://example.com/
              headrace doctor https://example.com/ --config headrace.yaml   and what runs behind it
              headrace doctor http://127.0.0.1:3000/scans --only page-compression,not-modified
              headrace doctor https://example.com/ --json
              headrace doctor --list

            Fetches the page and what it brings, a dozen to a hundred requests one after the other, and needs nothing but the URL. Sizes are \
            exact: what is not compressed is compressed here. Exits with 1 if something is wrong.

            With --config (or without a URL, with the configuration that is found) it looks at the Headrace that runs under it, too, best on its \
            machine and as its user or root: it sends marked requests through the public address and looks for them in each layer, lists \
            PostgreSQL's sessions, and knocks at every port from the machine's other addresses. With prove.secret it is known that it is this \
            edge that answers.
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

    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("The configuration of a Headrace that runs.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Addresses of this machine that others reach; its interfaces' unless said.", valueName: "addresses"))
    var outside: String?

    @Flag(help: "Print what is checked, and why.")
    var list = false

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        _ = try checks()
        _ = try WorkloadOptions.duration(timeout, "--timeout")
        if !list, url != nil { _ = try target(nil) }
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

    /// A check with its number in the whole list, and what it came to.
    private struct Finding {
        var number: Int
        var name: String
        var title: String
        var why: String
        var fix: String
        var outcome: SiteCheck.Outcome

        init(_ number: Int, _ check: SiteCheck, _ outcome: SiteCheck.Outcome) {
            (self.number, name, title, why, fix, self.outcome) = (number, check.name, check.title, check.why, check.fix, outcome)
        }

        init(_ number: Int, _ check: DeployedCheck, _ outcome: SiteCheck.Outcome) {
            (self.number, name, title, why, fix, self.outcome) = (number, check.name, check.title, check.why, check.fix, outcome)
        }
    }

    func run() async throws {
        let (site, deployed) = try checks()
        if list {
            var table = TextTable(columns: [.right("#"), .left("check"), .left("what"), .left("why")])
            for (number, check) in site { table.add(["\(number)", check.name, check.title, check.why]) }
            for (number, check) in deployed { table.add(["\(number)", check.name, check.title, check.why]) }
            return Terminal.print(table.rendered())
        }
        let fields = try headers.map { text in
            guard let colon = text.firstIndex(of: ":") else { throw ValidationError("--header \(text): 'Name: value'") }
            return Workload.Field(String(text[..<colon]), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces))
        }
        let settings = try settings()
        let target = try target(settings)
        let timeout = try WorkloadOptions.duration(timeout, "--timeout")
        var findings: [Finding] = []
        var summary = "\(target.origin)\(target.target): nothing answers"
        do {
            let evidence = try await SiteVisit(timeout: timeout, verifies: !isInsecure, fields: fields).evidence(target)
            findings += site.map { Finding($0.number, $0.check, $0.check.judge(evidence)) }
            let bytes = evidence.all.reduce(0) { $0 + $1.bytes }
            summary = "\(evidence.page.url): a page and \(evidence.files.count) files, \(bytes) bytes"
        } catch let error as any CustomStringConvertible & Error {
            guard settings != nil else {
                Terminal.fail(error.description)
                throw ExitCode.unavailable
            }
            findings += site.map { Finding($0.number, $0.check, .notApplicable("nothing answers: \(error.description)")) }
        }
        if let settings {
            let visit = DeployedVisit(
                settings: settings, url: target, verifies: !isInsecure, timeout: timeout,
                outside: outside?.split(separator: ",").map(String.init) ?? DeployedVisit.addresses(), fields: fields)
            let evidence = await visit.evidence()
            findings += deployed.map { Finding($0.number, $0.check, $0.check.judge(evidence)) }
        }
        let problems = findings.count { if case .problem = $0.outcome { true } else { false } }
        if json {
            Terminal.print(try ComparisonTable.json(Self.document(url: target.origin + target.target, problems: problems, findings)))
        } else {
            Terminal.print(Self.text(summary, findings, problems: problems))
        }
        if problems > 0 { throw ExitCode.failure }
    }

    private static func text(_ summary: String, _ findings: [Finding], problems: Int) -> String {
        var text = summary + "\n\n"
        for finding in findings {
            let place = "\(finding.number < 10 ? " " : "")\(finding.number)"
            switch finding.outcome {
            case .good(let evidence): text += "\(place)  ok   \(finding.title): \(evidence)\n"
            case .notApplicable(let reason): text += "\(place)  –    \(finding.title): \(reason)\n"
            case .problem(let lines):
                text += "\(place)  BAD  \(finding.title)? No.\n"
                for line in lines { text += "         \(line)\n" }
                text += "         Why: \(finding.why)\n         Fix: \(finding.fix)\n"
            }
        }
        return text + "\n" + (problems == 0 ? "Nothing is wrong that can be seen.\n" : "\(problems) of \(findings.count) checks found something.\n")
    }

    private static func document(url: String, problems: Int, _ findings: [Finding]) -> Document {
        Document(
            url: url, problems: problems,
            checks: findings.map { finding in
                let (name, evidence): (String, [String]) =
                    switch finding.outcome {
                    case .good(let text): ("good", [text])
                    case .problem(let lines): ("problem", lines)
                    case .notApplicable(let reason): ("not-applicable", [reason])
                    }
                return .init(
                    number: finding.number, name: finding.name, title: finding.title, outcome: name, evidence: evidence, why: finding.why, fix: finding.fix)
            })
    }

    /// Of the Headrace that runs; `nil` when only a site is looked at.
    private func settings() throws -> Settings? {
        guard config != nil || url == nil else { return nil }
        let options = try ConfigurationOptions.parse(config.map { ["--config", $0] } ?? [])
        guard options.hasFile else { throw ValidationError("which URL? headrace doctor https://example.com/, or --config FILE") }
        return try options.loadOrExit().settings
    }

    /// The page to look at; without one, the edge's own address.
    private func target(_ settings: Settings?) throws -> HTTPURL {
        do {
            if let url { return try HTTPURL(url) }
            guard let settings else { throw ValidationError("which URL? headrace doctor https://example.com/") }
            return try HTTPURL(try RunningEdge(settings.edgeConfiguration, to: nil).address.origin + "/")
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("\(error)")
        }
    }

    /// With their numbers in the whole list.
    private func checks() throws -> (site: [(number: Int, check: SiteCheck)], deployed: [(number: Int, check: DeployedCheck)]) {
        let site = SiteChecks.all.enumerated().map { (number: $0 + 1, check: $1) }
        let deployed = DeployedChecks.all.enumerated().map { (number: SiteChecks.all.count + $0 + 1, check: $1) }
        guard let only else { return (site, deployed) }
        let names = only.split(separator: ",").map(String.init)
        for name in names where !site.contains(where: { $0.check.name == name }) && !deployed.contains(where: { $0.check.name == name }) {
            throw ValidationError("--only \(name): there is no such check; headrace doctor --list")
        }
        return (site.filter { names.contains($0.check.name) }, deployed.filter { names.contains($0.check.name) })
    }
}
