import ArgumentParser
import Dashboard
import Edge
import Foundation
import LoadGenerator

/// `headrace mark`: a mark beside the numbers of a running process, for what it cannot know of: a deploy of the application.
struct MarkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mark",
        abstract: "Mark this moment on the performance page: a deploy of the application.",
        discussion: """
            EXAMPLES:
              headrace mark "v1.2"                     at the edge of headrace.yaml
              headrace mark "v1.2" --to https://shop.example

            The mark stands in each chart over time and is kept with the numbers, for 15 days and more. Asks as an operator: from this \
            machine, or with edge.metrics_token, which is also how a pipeline without this program does it:

              curl -X POST -H "Authorization: Bearer $TOKEN" -H "Headrace-Mark: v1.2" https://shop.example/performance/api/marks

            Exits with 69 when nobody answers, or says no.
            """)

    @Argument(help: ArgumentHelp("What is marked, in 1 to \(Dashboard.markLengthMax) characters.", valueName: "text"))
    var text: String

    @Option(help: ArgumentHelp("Where the edge is, if not where the configuration says that it listens.", valueName: "url"))
    var to: String?

    @OptionGroup var options: ConfigurationOptions

    func validate() throws {
        guard Dashboard.markText(text) != nil else { throw ValidationError("a mark has 1 to \(Dashboard.markLengthMax) characters, in one line") }
    }

    func run() async throws {
        // Without a configuration there is still --to.
        let edge = to == nil ? try options.loadOrExit().settings.edgeConfiguration : (try? options.load().settings.edgeConfiguration) ?? EdgeConfiguration()
        guard let path = edge.pages.dashboard, edge.pages.access != .off else {
            Terminal.fail("the dashboard is off: dashboard.access and dashboard.path")
            throw ExitCode.unavailable
        }
        do {
            let running = try RunningEdge(edge, to: to)
            let fields = [Workload.Field("Headrace-Mark", text)] + (edge.metricsToken.map { [Workload.Field("Authorization", "Bearer \($0)")] } ?? [])
            _ = try await running.ask("POST", try HTTPURL(running.address.origin + path + "/api/marks"), fields: fields)
            Terminal.print("marked: \(text)")
        } catch let error as any CustomStringConvertible & Error {
            Terminal.fail(error.description)
            throw ExitCode.unavailable
        }
    }
}
