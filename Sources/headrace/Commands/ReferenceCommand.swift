import ArgumentParser

struct ReferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reference",
        abstract: "Print the documentation that is made of the program's own tables.",
        discussion: """
            EXAMPLES:
              headrace reference configuration > docs/configuration.md
              headrace reference example > headrace.yaml
              headrace reference metrics > docs/metrics.md
              headrace reference monitoring --into Monitoring    for Prometheus and Grafana
            """)

    enum Page: String, ExpressibleByArgument, CaseIterable {
        case configuration, example, metrics, monitoring
    }

    @Argument(
        help: """
            configuration: every key (Markdown); example: a file with every key at its default (YAML); metrics: every family (Markdown); \
            monitoring: Prometheus' configuration and rules, Grafana's dashboards (files).
            """)
    var page: Page

    @Option(help: ArgumentHelp("Where the files of monitoring go.", valueName: "folder"))
    var into: String?

    func validate() throws {
        guard (page == .monitoring) == (into != nil) else {
            throw ValidationError(page == .monitoring ? "monitoring: say where its files go with --into" : "--into: is for monitoring")
        }
    }

    func run() throws {
        switch page {
        case .configuration: Terminal.print(ConfigurationReference.markdown())
        case .example: Terminal.print(ConfigurationReference.example())
        case .metrics: Terminal.print(MetricsReference.markdown())
        case .monitoring:
            do {
                try MonitoringReference.write(into: into ?? ".")
            } catch {
                Terminal.fail(error.localizedDescription)
                throw ExitCode.failure
            }
        }
    }
}
