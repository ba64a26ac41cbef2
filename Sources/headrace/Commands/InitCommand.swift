import ArgumentParser
import Foundation

struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write a commented configuration file for what runs on this machine.",
        discussion: """
            EXAMPLES:
              headrace init                            writes headrace.yaml
              headrace init --output - > other.yaml    prints it
              headrace init --port 3000 --port 5432    asks these ports only

            It asks each port of this machine that listens on loopback whether it speaks HTTP; the first that does, application servers
            first, becomes edge.app. Nothing that exists is overwritten.
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to write; - is standard output.", valueName: "file"))
    var output = "headrace.yaml"

    @Option(name: .customLong("port"), help: ArgumentHelp("Ask this port only; may be repeated.", valueName: "port"))
    var ports: [Int] = []

    func run() async throws {
        if output != "-", FileManager.default.fileExists(atPath: output) {
            Terminal.fail("\(output) exists and stays as it is; choose another with --output")
            throw ExitCode.failure
        }
        let found = await RunningServices.find(ports: ports)
        for service in found { Terminal.say("found \(service.description)") }
        let application = found.filter { $0.isHTTP && $0.program != "headrace" }.min { $0.rank < $1.rank }
        var values: [String: String] = [:]
        var heading = ["Headrace, written by `headrace init`."]
        if let application {
            values["edge.app"] = "http://\(application.authority)"
            heading.append("In front of \(application.description).")
        } else {
            Terminal.say("no application found: set edge.app or edge.root in the file")
        }
        let others = found.filter { $0.authority != application?.authority }
        if !others.isEmpty { heading.append("Also running: \(others.map(\.description).joined(separator: "; ")).") }
        // 8080 is ours by default, unless somebody has it.
        if let port = (8080...8099).first(where: { port in !found.contains { $0.port == port } }), port != 8080 {
            values["edge.listen"] = "[127.0.0.1:\(port)]"
        }
        let text = ConfigurationReference.example(found: values, heading: heading)
        if output == "-" { return Terminal.print(text) }
        try text.write(toFile: output, atomically: true, encoding: .utf8)
        Terminal.say("wrote \(output); next: headrace check && headrace serve")
    }
}

extension String {
    fileprivate func write(toFile path: String, atomically: Bool, encoding: String.Encoding) throws {
        try Data(utf8).write(to: URL(filePath: path), options: atomically ? .atomic : [])
    }
}
