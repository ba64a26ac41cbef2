import ArgumentParser
import Edge
import Foundation
import LoadGenerator

/// `headrace purge`: takes stored responses out of a running edge, or makes them stale.
struct PurgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge",
        abstract: "Take responses out of the cache of a running edge.",
        discussion: """
            EXAMPLES:
              headrace purge https://shop.example/cart https://shop.example/
              headrace purge --key article-7 --key front
              headrace purge --prefix https://shop.example/img/
              headrace purge --regex '^/list\\?.*page=' --host shop.example --soft
              headrace purge --all --host shop.example

            Asks the edge that runs under the configuration, with its edge.purge.token; --to names another. When the command ends with 0 no \
            client gets what was purged any more. A soft purge makes it stale: it is fetched anew when it is asked for, and served meanwhile \
            where its rules allow that.
            """)

    @Argument(help: ArgumentHelp("URLs, all variants of each.", valueName: "url"))
    var urls: [String] = []

    @Option(name: .customLong("key"), help: ArgumentHelp("A surrogate key (Surrogate-Key, Cache-Tag); may be repeated.", valueName: "key"))
    var keys: [String] = []

    @Option(help: ArgumentHelp("What begins so: a URL, or a path of --host.", valueName: "url"))
    var prefix: String?

    @Option(help: ArgumentHelp("Paths with their queries in which this is found, of --host.", valueName: "expression"))
    var regex: String?

    @Flag(help: "Everything of --host.")
    var all = false

    @Option(help: ArgumentHelp("The host that --prefix, --regex and --all are for; without it, every one.", valueName: "name"))
    var host: String?

    @Flag(help: "Make it stale instead.")
    var soft = false

    @Option(help: ArgumentHelp("Where the edge is, if not where the configuration says that it listens.", valueName: "url"))
    var to: String?

    @Flag(help: "Print the answers, one JSON object a line.")
    var json = false

    @OptionGroup var options: ConfigurationOptions

    func validate() throws {
        let kinds = [!urls.isEmpty, !keys.isEmpty, prefix != nil, regex != nil, all].count { $0 }
        guard kinds == 1 else { throw ValidationError("one of: URLs, --key, --prefix, --regex, --all") }
        if host != nil, !urls.isEmpty || !keys.isEmpty { throw ValidationError("--host goes with --prefix, --regex and --all") }
        _ = try requests()
    }

    private struct Request {
        var url: HTTPURL
        var host: String?
        var fields: [Workload.Field]
        var text: String
    }

    private func requests() throws -> [Request] {
        let soft = soft ? [Workload.Field("Headrace-Soft-Purge", "1")] : []
        func url(_ text: String) throws -> HTTPURL {
            do {
                return try HTTPURL(text)
            } catch {
                throw ValidationError("\(error)")
            }
        }
        let here = try url("http://localhost/")
        let anyHost = [Workload.Field("Headrace-Purge-Host", host ?? "*")]
        if !keys.isEmpty {
            return try stride(from: 0, to: keys.count, by: 100).map { first in
                let some = keys[first..<min(first + 100, keys.count)]
                guard some.allSatisfy({ !$0.isEmpty && !$0.contains { $0.isWhitespace } }) else { throw ValidationError("--key: a key has no spaces") }
                let text = some.joined(separator: " ")
                return Request(url: here, fields: soft + [Workload.Field("Surrogate-Key", text)], text: text)
            }
        }
        if let regex {
            return [Request(url: here, fields: soft + anyHost + [Workload.Field("Headrace-Purge-Regex", regex)], text: regex)]
        }
        if all { return [Request(url: here, fields: soft + anyHost + [Workload.Field("Headrace-Purge", "all")], text: host ?? "everything")] }
        if let prefix {
            let mode = [Workload.Field("Headrace-Purge", "prefix")]
            guard prefix.hasPrefix("/") else { return [Request(url: try url(prefix), fields: soft + mode, text: prefix)] }
            return [Request(url: try url("http://localhost" + prefix), fields: soft + mode + anyHost, text: prefix)]
        }
        return try urls.map { Request(url: try url($0), fields: soft, text: $0) }
    }

    func run() async throws {
        let edge = try RunningEdge(options.loadOrExit().settings.edgeConfiguration, to: to)
        do {
            for request in try requests() {
                let page = try await edge.ask("PURGE", request.url, host: request.host, fields: request.fields)
                if json {
                    Terminal.print(String(decoding: page.body, as: UTF8.self))
                    continue
                }
                let document = (try? JSONSerialization.jsonObject(with: Data(page.body))) as? [String: Any]
                let what = soft ? "made stale" : "dropped"
                if let count = document?["purged"] as? Int {
                    Terminal.print("\(request.text): \(count) \(count == 1 ? "response" : "responses") \(what)")
                } else {
                    Terminal.print("\(request.text): whatever it is for is \(what)")
                }
            }
        } catch let error as any CustomStringConvertible & Error {
            Terminal.fail(error.description)
            throw ExitCode.unavailable
        }
    }
}
