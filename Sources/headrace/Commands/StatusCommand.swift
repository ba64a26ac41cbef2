import ArgumentParser
import Edge
import Foundation
import LoadGenerator

/// `headrace status`: the dashboard's layer strip in a terminal.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what each layer of a running process does, and whether its services are up.",
        discussion: """
            EXAMPLES:
              headrace status                          the edge of headrace.yaml
              headrace status --to http://127.0.0.1:8080
              headrace status --json                   what /performance/latest.json says

            Exits with 1 when a service is down, and with 69 when nothing answers. Needs dashboard.access local (from this machine) or
            public; with edge.metrics_token from elsewhere, too.
            """)

    @Option(help: ArgumentHelp("Where the edge is, if not where the configuration says that it listens.", valueName: "url"))
    var to: String?

    @Flag(help: "Print the whole document.")
    var json = false

    @OptionGroup var options: ConfigurationOptions

    /// What is read of `latest.json`.
    struct Document: Decodable {
        struct Layer: Decodable {
            struct Worth: Decodable {
                var words: String
            }

            var title: String
            var state: String
            var share: Double?
            var shareOf: String
            var worth: Worth?
            var cpuCores: Double?
            var memoryBytes: Double?
            var costNote: String?
        }

        struct Service: Decodable {
            var name: String
            var state: String
            var detail: String?
            var lastError: String?
        }

        struct Now: Decodable {
            struct Times: Decodable {
                var p50: Double?
                var p95: Double?
                var p99: Double?
            }

            var responseMs: Times
        }

        var requestsPerSecond: Double?
        var failedRequests: Double?
        var layers: [Layer]
        var services: [Service]
        var now: Now

        init(_ data: Data) throws {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            self = try decoder.decode(Document.self, from: data)
        }
    }

    func run() async throws {
        // Without a configuration there is still --to.
        let edge = to == nil ? try options.loadOrExit().settings.edgeConfiguration : (try? options.load().settings.edgeConfiguration) ?? EdgeConfiguration()
        guard let path = edge.pages.dashboard, edge.pages.access != .off else {
            Terminal.fail("the dashboard is off: dashboard.access and dashboard.path")
            throw ExitCode.unavailable
        }
        let data: Data
        do {
            let running = try RunningEdge(edge, to: to)
            let fields = edge.metricsToken.map { [Workload.Field("Authorization", "Bearer \($0)")] } ?? []
            let page = try await running.ask("GET", try HTTPURL(running.address.origin + path + "/latest.json"), fields: fields)
            data = Data(page.body)
        } catch let error as any CustomStringConvertible & Error {
            Terminal.fail(error.description)
            throw ExitCode.unavailable
        }
        if json {
            Terminal.print(String(decoding: data, as: UTF8.self))
        } else {
            Terminal.print(Self.rendered(try Document(data)))
        }
        guard try Document(data).services.allSatisfy({ $0.state != "down" }) else { throw ExitCode.failure }
    }

    static func rendered(_ document: Document) -> String {
        func percent(_ share: Double?) -> String { share.map { String(format: "%.0f %%", $0 * 100) } ?? "not measured" }
        var layers = TextTable(columns: [.left("layer"), .left("state"), .right("share"), .left("of"), .left("worth"), .left("costs")])
        for layer in document.layers {
            let costs = [layer.cpuCores.map { String(format: "%.2f cores", $0) }, layer.memoryBytes.map { SizeText.render(Int(exactly: $0.rounded()) ?? 0) }].compactMap(\.self)
                + [layer.costNote].compactMap(\.self)
            let isOn = layer.state != "off"
            layers.add([
                layer.title, layer.state, isOn ? percent(layer.share) : "–", layer.shareOf, layer.worth?.words ?? "not measured",
                costs.isEmpty ? "not measured" : costs.joined(separator: ", "),
            ])
        }
        var services = TextTable(columns: [.left("service"), .left("state"), .left("where"), .left("last error")])
        for service in document.services {
            services.add([service.name, service.state, Self.plain(service.detail ?? ""), Self.plain(service.lastError ?? "")])
        }
        func number(_ value: Double?, _ unit: String) -> String { value.map { String(format: "%.1f", $0) + unit } ?? "–" }
        let times = document.now.responseMs
        let head = "\(number(document.requestsPerSecond, " requests/s")), p50 \(number(times.p50, " ms")), p95 \(number(times.p95, " ms")), "
            + "p99 \(number(times.p99, " ms")); failed since the start: \(Int(exactly: (document.failedRequests ?? 0).rounded()) ?? 0)"
        return head + "\n\n" + layers.rendered() + "\n" + services.rendered()
    }

    /// A peer's words, without what would move a terminal's cursor.
    private static func plain(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F || (0x80...0x9F).contains($0.value) ? " " : $0 }))
    }
}
