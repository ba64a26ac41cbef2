import Foundation
import TestSupport
import Testing

/// The same requests, to the same files and the same application, through Debian's nginx and through the edge.
///
/// How it works:
/// 1. nginx and the edge are started with configurations that say the same. What Debian's nginx does by default it does here.
/// 2. Each of ``BehaviourRequest/all`` goes to both, on a connection of its own; what comes is reduced to ``BehaviourAnswer``.
/// 3. Where the answers differ, a row of ``NginxDifference/all`` must say so, and why; a row that nothing differs by any more must go.
/// 4. The rows are the table of `docs/edge.md`.
@Suite struct NginxDifferenceTests {
    @Test(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup"))
    func `where nginx and the edge differ, the table says so and why`() throws {
        let site = try BehaviourSite()
        var seen: Set<String> = []
        var count = 0
        for request in BehaviourRequest.all {
            let theirs = try BehaviourAnswer(request, port: site.nginx.port, entityTag: site.nginxTag)
            let ours = try BehaviourAnswer(request, port: site.edge.port, entityTag: site.edgeTag)
            count += 1
            var unexplained = Set(ours.differences(from: theirs))
            for difference in NginxDifference.all where difference.holds(request, theirs, ours) {
                if !difference.parts.isDisjoint(with: ours.differences(from: theirs)) { seen.insert(difference.name) }
                unexplained.subtract(difference.parts)
            }
            let told = AnswerPart.allCases.filter(unexplained.contains).map { "\($0.rawValue): \(theirs[$0].prefix(200)) → \(ours[$0].prefix(200))" }
            #expect(told.isEmpty, "\(request.label)\n  \(told.joined(separator: "\n  "))")
        }
        #expect(count >= 200)
        for difference in NginxDifference.all {
            #expect(seen.contains(difference.name), "\(difference.name): they no longer differ so; the row goes")
        }
    }

    @Test func `the page of differences is this table`() throws {
        let page = try String(contentsOf: HeadraceProcess.repository.appending(path: "docs/edge.md"), encoding: .utf8)
        #expect(page.contains(NginxDifference.table), "docs/edge.md should have:\n\(NginxDifference.table)")
        #expect(Set(NginxDifference.all.map(\.name)).count == NginxDifference.all.count)
    }
}

/// Files, the application, and both servers before them.
private final class BehaviourSite {
    let nginx: Nginx
    let edge: HeadraceProcess
    let nginxTag: String
    let edgeTag: String
    private let origin: ScriptedOrigin
    private let folder = FileManager.default.temporaryDirectory.appending(path: "behaviour-\(UUID().uuidString)")

    init() throws {
        origin = try BehaviourOrigin.start()
        let root = folder.appending(path: "public")
        try Self.write(to: root)
        let passwords = folder.appending(path: "passwords")
        // The word is "secret".
        try Data("user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n".utf8).write(to: passwords)
        // A port on which nobody listens.
        let gone = try StalledOrigin().port
        let types = "text/plain text/css text/javascript application/javascript application/json image/svg+xml"
        nginx = try Nginx(
            server: """
                root \(root.path);
                location / { charset utf-8; charset_types text/plain text/css application/javascript; }
                location ~ /\\.(?!well-known) { return 404; }
                location ^~ /app/ { proxy_pass \(origin.url); }
                location = /app { proxy_pass \(origin.url); }
                location ^~ /small/ { client_max_body_size 10; proxy_pass \(origin.url); }
                location ^~ /gone/ { proxy_pass http://127.0.0.1:\(gone); }
                location = /moved { return 301 /new/; }
                location = /fixed { default_type text/plain; return 200 "fixed\\n"; }
                location ^~ /private/ { charset utf-8; charset_types text/plain; auth_basic restricted; auth_basic_user_file \(passwords.path); }
                """,
            http: """
                include /etc/nginx/mime.types; default_type application/octet-stream;
                gzip on; gzip_types \(types); gzip_min_length 256; gzip_vary on; gzip_proxied any;
                client_max_body_size 64m;
                proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_read_timeout 1s;
                """)
        let file = try TemporaryFile(
            """
            edge:
              root: \(root.path)
              upstreams:
                origin: {members: ["\(origin.url)"], first_byte_timeout: 1s}
                gone: {members: ["http://127.0.0.1:\(gone)"]}
              routes:
                - {match: {path: [/app]}, upstream: origin}
                - {match: {path: [/small]}, upstream: origin, limits: {body: 10B}}
                - {match: {path: [/gone]}, upstream: gone}
                - {match: {path_exact: [/moved]}, redirect: {to: /new/, status: 301, keep_query: false}}
                - {match: {path_exact: [/fixed]}, respond: {status: 200, content_type: text/plain, body: "fixed\\n"}}
                - match: {path: [/private]}
                  basic_auth: {file: \(passwords.path), realm: restricted}
                  files: {root: \(root.path)}
            """, name: "headrace.yaml")
        edge = try HeadraceProcess(["--config", file.path])
        nginxTag = try #require(try RawClient.get(port: nginx.port, BehaviourRequest.file).field("ETag"))
        edgeTag = try #require(try RawClient.get(port: edge.port, BehaviourRequest.file).field("ETag"))
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private static func write(to root: URL) throws {
        let digits = String(repeating: "0123456789", count: 100)
        let files = [
            "index.html": "<h1>home</h1>", "page.html": BehaviourOrigin.page, "digits.txt": digits, "site.css": String(repeating: "p { color: red }\n", count: 50),
            "app.js": String(repeating: "let x = 1;\n", count: 50), "data.json": "[" + String(repeating: "1,", count: 300) + "1]",
            "picture.svg": "<svg>" + String(repeating: "<path/>", count: 100) + "</svg>", "picture.png": digits, "font.woff2": digits, "odd.xyz": digits,
            "noextension": digits, "empty.txt": "", "large.bin": String(repeating: digits, count: 1049), "docs/index.html": "docs", "docs/.hidden": "secret",
            "bare/file.txt": "x", ".env": "secret", ".well-known/security.txt": "contact", "a b.txt": "spaced", "é.txt": "accented",
            "private/note.txt": "for those who know the word",
        ]
        for (path, text) in files {
            let url = root.appending(path: path)
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
            let modified = Date(timeIntervalSince1970: BehaviourRequest.modifiedUnixSeconds)
            try FileManager.default.setAttributes([.modificationDate: modified], ofItemAtPath: url.path)
        }
    }
}
