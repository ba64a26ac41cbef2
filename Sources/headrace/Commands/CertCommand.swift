import ArgumentParser
import Foundation

/// `headrace cert`: certificates.
struct CertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cert", abstract: "Certificates for trying HTTPS.",
        discussion: """
            EXAMPLES:
              headrace cert dev                           for localhost
              headrace cert dev shop.test '*.shop.test'   for these

            `headrace cert dev --help` says more.
            """,
        subcommands: [CertDevCommand.self])
}

/// `headrace cert dev`: an authority of this machine, and a certificate that it vouches for.
struct CertDevCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev",
        abstract: "Make a certificate for trying HTTPS, and an authority that vouches for it.",
        discussion: """
            EXAMPLES:
              headrace cert dev                             for localhost, 127.0.0.1 and ::1
              headrace cert dev shop.test '*.shop.test'     for these
              headrace serve --app http://127.0.0.1:3000 --set edge.tls.listen=127.0.0.1:8443 \\
                --set edge.tls.certificates="$(headrace cert dev --json | jq -r .certificate)"

            The authority is made once and kept: what trusts it trusts each certificate that is made later. A certificate is for 90 days; made anew, \
            it is taken up by an edge that runs. Both are for machines of your own: for what others visit take a certificate of a public authority.
            """)

    @Argument(help: ArgumentHelp("Names and addresses that it is made out to.", valueName: "host"))
    var hosts: [String] = ["localhost", "127.0.0.1", "::1"]

    @Option(help: ArgumentHelp("Where authority and certificates are; without it headrace/tls in $XDG_STATE_HOME or ~/.local/state.", valueName: "folder"))
    var folder: String?

    @Flag(help: "Print a JSON object.")
    var json = false

    func validate() throws {
        for host in hosts {
            do { _ = try DevelopmentAuthority.Subject(host) } catch { throw ValidationError("\(error)") }
        }
        if hosts.count > 100 { throw ValidationError("a certificate is made out to 100 hosts at most") }
    }

    private struct Document: Encodable {
        let certificate, authority: String
        let hosts: [String]
        let expires: String
    }

    func run() async throws {
        guard let folder = folder ?? StateFolder.path(ProcessInfo.processInfo.environment).map({ $0 + "/tls" }) else {
            Terminal.fail("there is neither $XDG_STATE_HOME nor $HOME: --folder says where the files go")
            throw ExitCode.unavailable
        }
        let (authority, issued): (DevelopmentAuthority, DevelopmentAuthority.Issued)
        do {
            authority = try DevelopmentAuthority(folder: URL(fileURLWithPath: folder).path, now: Date())
            issued = try authority.issue(to: hosts, now: Date())
        } catch {
            Terminal.fail("\(error)")
            throw ExitCode.unavailable
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let document = Document(
                certificate: issued.file, authority: authority.certificateFile, hosts: hosts, expires: issued.expires.ISO8601Format())
            print(String(decoding: try encoder.encode(document), as: UTF8.self))
            return
        }
        print("certificate  \(issued.file)")
        print("authority    \(authority.certificateFile)")
        Terminal.say(
            """
            for \(hosts.joined(separator: ", ")), until \(DevelopmentAuthority.day(issued.expires))

            Serve it:
              headrace serve --app http://127.0.0.1:3000 --set edge.tls.listen=127.0.0.1:8443 --set edge.tls.certificates=\(issued.file)
            Try it:
              curl --cacert \(authority.certificateFile) https://\(hosts[0].contains(":") ? "[\(hosts[0])]" : hosts[0]):8443/
            Have this machine trust it (Debian, Ubuntu; browsers import it as an authority in their settings):
              sudo cp \(authority.certificateFile) /usr/local/share/ca-certificates/headrace-development.crt && sudo update-ca-certificates
            """)
    }
}
