import ArgumentParser

/// The program. One file per command in `Commands/`; what a command is told and where it comes from is in `Configuration/`.
@main
struct Headrace: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "headrace",
        abstract: "Put it in front of your application; pages get fast, and it proves by how much.",
        discussion: """
            EXAMPLES:
              headrace serve --app http://127.0.0.1:3000    in front of an application
              headrace serve --root ./public                serve a folder
              headrace init                                 write a commented file
              headrace check                                what is wrong with it?
              headrace explain http://shop.example/cart     which route would this take?
              headrace bench http://127.0.0.1:8080/         at 5, 20 and 50 users
              headrace demo                                 what is the edge worth?

            EXIT CODES:
              0   done
              1   it failed, or a request of a measurement failed
              64  the command line was not understood
              69  something is not to be had: an address is taken, a program missing
              78  the configuration has mistakes

            SHELL COMPLETION:
              headrace --generate-completion-script bash    (also zsh and fish)
            """,
        version: version,
        subcommands: [
            ServeCommand.self, ReloadCommand.self, CheckCommand.self, ExplainCommand.self, InitCommand.self, BenchCommand.self, DemoCommand.self, ReferenceCommand.self,
            VersionCommand.self,
        ])
}

/// What the program's end says to its caller, after sysexits.h.
extension ExitCode {
    static let unavailable = ExitCode(69)
    static let badConfiguration = ExitCode(78)
}
