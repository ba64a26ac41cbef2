import ArgumentParser
import Edge
import Foundation

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have a running process read its configuration anew.",
        discussion: """
            EXAMPLES:
              headrace serve  --config headrace.yaml --pidfile /run/headrace.pid
              headrace reload --config headrace.yaml --pidfile /run/headrace.pid

            The configuration is checked first, files that it names included: with a mistake in it nothing is sent, and it exits with
            78. What has changed then stands in the log of the process. Without this command, SIGHUP does the same.
            """)

    @Option(help: ArgumentHelp("Where `headrace serve --pidfile` wrote its number.", valueName: "file"))
    var pidfile: String

    @OptionGroup var options: ConfigurationOptions

    func run() throws {
        let loaded = try options.loadOrExit(looksForFiles: true)
        do {
            try EdgeServer.check(loaded.settings.edgeConfiguration)
        } catch {
            Terminal.fail("the configuration cannot be used: \(error)")
            throw ExitCode.badConfiguration
        }
        do {
            let number = try PidFile.process(pidfile)
            guard kill(number, SIGHUP) == 0 else {
                throw PidFile.Problem(description: "process \(number) cannot be told: \(String(cString: strerror(errno)))")
            }
            Terminal.say("process \(number) reads its configuration anew; what has changed stands in its log")
        } catch {
            Terminal.fail("\(error)")
            throw ExitCode.unavailable
        }
    }
}
