import Foundation
import TestSupport
import Testing

@testable import headrace

/// Files and folders that the configuration names.
@Suite struct NamedFileTests {
    @Test func `each that is not there is said, with its key and line, for who is going to use it`() throws {
        let file = try TemporaryFile("anna:x\n")
        let folder = URL(filePath: file.path).deletingLastPathComponent().path
        var sources = ConfigurationSources()
        sources.file = (
            "headrace.yaml",
            """
            edge:
              app: http://a:1
              threads: many
              root: /nowhere/root
              routes:
                - {match: {path: [/a]}, files: {root: /nowhere/a}}
                - {match: {path: [/b]}, files: {root: "\(file.path)"}}
                - {match: {path: [/c]}, upstream: app, basic_auth: {file: /nowhere/c}}
                - {match: {path: [/d]}, upstream: app, basic_auth: {file: "\(folder)"}}
                - {match: {path: [/e]}, upstream: app, maintenance: {enabled: true, page: /nowhere/e}}
                - {match: {path: [/f]}, upstream: app, maintenance: {page: /nowhere/f}, basic_auth: {file: "\(file.path)"}}
                - {match: {path: [/g]}, files: {root: "\(folder)"}}
            """
        )
        func lines() -> [String] {
            do {
                _ = try sources.load()
                return []
            } catch {
                return error.rendered.split(separator: "\n").filter { $0.hasPrefix("headrace.yaml:") }.map(String.init)
            }
        }
        #expect(lines() == ["headrace.yaml:3:12: edge.threads: \"many\" is no whole number"])
        sources.looksForFiles = true
        #expect(
            lines() == [
                "headrace.yaml:3:12: edge.threads: \"many\" is no whole number",
                "headrace.yaml:4:9: edge.root: cannot read the folder /nowhere/root: it is not there",
                "headrace.yaml:6:43: edge.routes[1].files.root: cannot read the folder /nowhere/a: it is not there",
                "headrace.yaml:7:43: edge.routes[2].files.root: cannot read the folder \(file.path): it is a file",
                "headrace.yaml:8:63: edge.routes[3].basic_auth.file: the file /nowhere/c cannot be read: it is not there",
                "headrace.yaml:9:63: edge.routes[4].basic_auth.file: the file \(folder) cannot be read: it is a folder",
                "headrace.yaml:10:79: edge.routes[5].maintenance.page: the file /nowhere/e cannot be read: it is not there",
            ])
    }

    @Test func `a file whose content has changed is said at a reload, whichever route names it`() throws {
        let (users, page, certificate) = (try TemporaryFile("anna:x\n"), try TemporaryFile("<p>soon"), try TemporaryFile("PEM"))
        func digests(_ rest: String = "") throws -> [NamedFile: Int] {
            var sources = ConfigurationSources()
            sources.file = (
                "headrace.yaml",
                """
                edge:
                  tls: {listen: [127.0.0.1:0], certificates: ["\(certificate.path)"]}
                  upstreams: {app: {members: [https://a:1], tls: {authorities: "\(certificate.path)"}}}
                  routes: [\(rest){upstream: app, basic_auth: {file: "\(users.path)"}, maintenance: {enabled: true, page: "\(page.path)"}}]
                """
            )
            return NamedFile.digests(try sources.load().settings.edgeConfiguration)
        }
        let before = try digests()
        #expect(NamedFile.changes(from: before, to: try digests()) == [])
        try users.replace("anna:y\n")
        try certificate.replace("MEP")
        #expect(
            NamedFile.changes(from: before, to: try digests("{match: {path: [/x]}, page: health}, ")) == [
                "edge.routes[2].basic_auth.file: \(users.path) was read anew and differs",
                "edge.tls.certificates: \(certificate.path) was read anew and differs",
            ])
        try page.replace("<p>later")
        #expect(NamedFile.changes(from: before, to: try digests()).count == 3)
    }

    @Test(arguments: ConfigurationKeys.all.filter { ["file", "list of files"].contains($0.format) }.map(\.path))
    func `a file that a key names is one that layers may ask for`(path: String) throws {
        var loaded = ConfigurationSources.Loaded()
        for (path, value) in [("edge.app", "http://a:1"), (path, "/named")] { try #require(ConfigurationKeys.key(path)).assign([value], &loaded.settings) }
        #expect(NamedFile.paths(loaded) == ["/named"])
    }

    @Test func `so are the files of routes, groups and secrets, and the configuration's own`() throws {
        let secret = try TemporaryFile("s")
        var sources = ConfigurationSources()
        sources.file = (
            "headrace.yaml",
            """
            edge:
              metrics_token: file:\(secret.path)
              upstreams: {app: {members: [https://a:1], tls: {authorities: /authorities, certificate: /certificate, key: /key}}}
              routes: [{upstream: app, basic_auth: {file: /users}, maintenance: {enabled: true, page: /page}}]
            """
        )
        #expect(try NamedFile.paths(sources.load()) == ["headrace.yaml", secret.path, "/authorities", "/certificate", "/key", "/users", "/page"])
    }
}
