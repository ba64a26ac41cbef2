import ArgumentParser
import Edge
import Foundation
import HTTP1Wire
import HTTPSemantics
import LoadGenerator
import NIOCore

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show which route a request takes, why not the ones before it, and which policies apply.",
        discussion: """
            EXAMPLES:
              headrace explain http://shop.example/cart
              headrace explain /api --method POST --header 'Content-Type: application/json'
              headrace explain /admin --client 203.0.113.7 --json
              headrace explain https://shop.example/list --stored

            With --stored the edge that runs under the configuration is asked what its cache has for this URL (with its edge.purge.token; \
            --to names another edge). Without it nothing is sent: the request is put to the routes of the configuration. Routes are shown in the order in which they are
            tried, policies in the order in which they are applied.

            It exits with 0 when it could say what becomes of the request, a refusal by the routes too: a path that other servers read differently \
            (/pub/../x) is a 400, one that no route is for a 404. What the edge could not even read as a request, and what is no URL, is 64.
            """)

    @Argument(help: "A URL, or a path on localhost.")
    var url: String

    @Option(help: ArgumentHelp("The request's method.", valueName: "method"))
    var method = "GET"

    @Option(help: ArgumentHelp("A header field, Name: value; may be repeated.", valueName: "field"))
    var header: [String] = []

    @Option(help: ArgumentHelp("Where the connection comes from: an address, or unix.", valueName: "address"))
    var client = "127.0.0.1"

    @Flag(help: "Ask the running edge what its response cache has, and what it would do with it.")
    var stored = false

    @Option(help: ArgumentHelp("With --stored: where the edge is, if not where the configuration says that it listens.", valueName: "url"))
    var to: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup var options: ConfigurationOptions

    private struct Document: Encodable {
        let request: String
        let routes: [RouteExplanation.Step]
        let refusal: String?
        let policies: [RouteExplanation.Policy]
    }

    func run() async throws {
        let loaded = try options.loadOrExit()
        let head = try requestHead()
        if stored { return try await explainStored(loaded.settings.edgeConfiguration) }
        guard client == "unix" || IPAddress(client) != nil else {
            throw ValidationError("\(client) is no address such as 203.0.113.7 or 2001:db8::1, nor unix")
        }
        let explanation = loaded.settings.edgeConfiguration.explain(head, peer: client == "unix" ? nil : client)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let document = Document(
                request: "\(method) \(url)", routes: explanation.steps, refusal: explanation.refusal, policies: explanation.policies)
            return Terminal.print(String(decoding: try encoder.encode(document), as: UTF8.self))
        }
        var routes = TextTable(columns: [.left("route"), .left("is for it"), .left("gives")])
        for step in explanation.steps { routes.add([step.name, step.lacks.map { "no: \($0)" } ?? "yes", step.gives]) }
        if !explanation.steps.isEmpty { Terminal.print(routes.rendered()) }
        if let refusal = explanation.refusal { Terminal.print(refusal) }
        guard !explanation.policies.isEmpty else { return }
        var policies = TextTable(columns: [.right(""), .left("policy"), .left("says")])
        for (index, policy) in explanation.policies.enumerated() { policies.add(["\(index + 1)", policy.name, policy.value]) }
        Terminal.print("")
        Terminal.print(policies.rendered())
    }

    private func explainStored(_ edge: EdgeConfiguration) async throws {
        let running = try RunningEdge(edge, to: to)
        let text = url.hasPrefix("/") ? running.address.origin + url : url
        do {
            let fields = header.map { line in
                let name = line.prefix { $0 != ":" }
                return Workload.Field(String(name), line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces))
            }
            let page = try await running.ask("EXPLAIN", HTTPURL(text), fields: fields)
            Terminal.print(json ? String(decoding: page.body, as: UTF8.self) : try StoredText.render(page.body))
        } catch let error as any CustomStringConvertible & Error {
            Terminal.fail(error.description)
            throw ExitCode.unavailable
        }
    }

    func validate() throws {
        let schemes = ["http://", "https://"]
        if let scheme = schemes.first(where: url.hasPrefix) {
            let host = url.dropFirst(scheme.count).prefix { $0 != "/" && $0 != "?" }
            if host.isEmpty { throw ValidationError("\(url) names no host: write \(scheme)shop.example/cart") }
        } else if !url.hasPrefix("/") {
            throw ValidationError("\"\(url)\" is neither a URL such as http://shop.example/cart nor a path such as /cart")
        }
    }

    /// The request as the edge would read it off a connection: what cannot be read as one is refused here.
    private func requestHead() throws -> RequestHead {
        var rest = url[...]
        var host = "localhost"
        for scheme in ["http://", "https://"] where url.hasPrefix(scheme) {
            rest = url.dropFirst(scheme.count)
            host = String(rest.prefix { $0 != "/" && $0 != "?" })
            rest = rest.dropFirst(host.count)
        }
        if !rest.hasPrefix("/") { rest = "/" + rest }
        let lines = ["\(method) \(rest) HTTP/1.1", "Host: \(host)"] + header
        guard !lines.contains(where: { $0.contains { $0.isNewline } }) else { throw ValidationError("a line end has no place in it") }
        var buffer = ByteBuffer(string: lines.joined(separator: "\r\n") + "\r\n\r\n")
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        do {
            guard try parser.parse(&buffer, into: &head) else { throw ValidationError("this is no whole request") }
        } catch let error as HTTP1Error {
            throw ValidationError("the edge would refuse this with \(error.status): \(error.code.rawValue)")
        }
        return head
    }
}
