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
            first, becomes edge.app. A PostgreSQL and a Redis that it finds stand in the sections of the pooler and the keyspace, commented out:
            whether these take over is for you to decide. Nothing that exists is overwritten.
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
        let file = InitialFile.make(found, taken: RunningServices.takenPorts())
        if file.application == nil { Terminal.say("no application found: set edge.app or edge.root in the file") }
        if output == "-" { return Terminal.print(file.text) }
        try file.text.write(toFile: output, atomically: true, encoding: .utf8)
        Terminal.say("wrote \(output); next: headrace check && headrace serve")
    }
}

extension String {
    fileprivate func write(toFile path: String, atomically: Bool, encoding: String.Encoding) throws {
        try Data(utf8).write(to: URL(filePath: path), options: atomically ? .atomic : [])
    }
}
