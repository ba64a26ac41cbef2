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
              headrace purge https://shop.example/cart      drop what is stored of it
              headrace warm --sitemap sitemap.xml           have pages stored, or keys, before somebody asks
              headrace bench http://127.0.0.1:8080/         how does it answer at 50 requests/s?
              headrace compare URL URL                      which of two is faster, and how sure is that?
              headrace prove --app http://127.0.0.1:3000 /  what is each layer worth?
              headrace report                               what was measured before?
              headrace doctor https://example.com/          what makes a site slow?
              headrace cert dev                             a certificate for trying HTTPS
              headrace demo                                 what is the edge worth?

            EXIT CODES:
              0   done
              1   it failed, or a request of a measurement failed
              3   the load generator itself was the limit: its figures are not the server's
              64  the command line was not understood
              69  something is not to be had: an address is taken, a program missing
              78  the configuration has mistakes
              99  a condition of bench --fail-if holds
              130 a measurement was interrupted, after printing what there was

            SHELL COMPLETION:
              headrace --generate-completion-script bash    (also zsh and fish)
            """,
        version: version,
        subcommands: [
            ServeCommand.self, ReloadCommand.self, CheckCommand.self, ExplainCommand.self, PurgeCommand.self, WarmCommand.self,
            InitCommand.self, BenchCommand.self, CompareCommand.self, StatusCommand.self, MarkCommand.self, DoctorCommand.self, ProveCommand.self, ReportCommand.self,
            CertCommand.self, DemoCommand.self, ReferenceCommand.self, VersionCommand.self,
        ])
}

/// What the program's end says to its caller, after sysexits.h.
extension ExitCode {
    static let unavailable = ExitCode(69)
    static let badConfiguration = ExitCode(78)
}
