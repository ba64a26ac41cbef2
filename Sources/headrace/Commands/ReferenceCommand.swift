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
            """)

    enum Page: String, ExpressibleByArgument, CaseIterable {
        case configuration, example, metrics
    }

    @Argument(help: "configuration: every key (Markdown); example: a file with every key at its default (YAML); metrics: every family (Markdown).")
    var page: Page

    func run() {
        switch page {
        case .configuration: Terminal.print(ConfigurationReference.markdown())
        case .example: Terminal.print(ConfigurationReference.example())
        case .metrics: Terminal.print(MetricsReference.markdown())
        }
    }
}
