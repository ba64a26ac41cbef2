import Foundation
import TestSupport
import Testing

/// The same requests to the edge and to Debian's nginx, over the same files and the same application.
///
/// How it works: 1. A list of targets, methods and fields makes some three hundred requests. 2. Both answer; tags differ in spelling, so
/// that each server is asked with the ones that it gave. 3. Status, fields that say something about the content, and body are compared.
/// 4. Each difference has to be one of ``Difference``, which `docs/edge.md` explains, and each of those has to occur.
@Suite(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup"))
final class NginxDifferenceTests {
    /// What may differ. The raw value is the heading in `docs/edge.md`.
    enum Difference: String, CaseIterable {
        case hiddenFile = "Names that begin with a dot"
        case encodedSlash = "An encoded slash"
        case malformedRange = "A Range that cannot be understood"
        case overlappingRanges = "Ranges that overlap"
        case rangesInParts = "Many ranges"
        case methodOnFiles = "Other methods on files"
        case tunnel = "CONNECT and TRACE"
        case weakenedTag = "Tags of compressed responses"
        case folderRedirect = "Location of a folder"
        case emptyRange = "A range of an empty file"
        case dotSegments = "Dot segments"
        case listingOff = "A folder without an index"
        case ifMatchOfDate = "Exact dates"
    }

    private struct Request: CustomStringConvertible {
        let method: String
        let target: String
        var fields: [String] = []

        var description: String { "\(method) \(target) \(fields)" }
    }

    private let folder = FileManager.default.temporaryDirectory.appending(path: "nginx-\(UUID().uuidString)")
    private var root: URL { folder.appending(path: "files") }
    private let nginx = Process()

    init() throws {
        try write("index.html", "<h1>home</h1>\n")
        try write("style.css", String(repeating: "p { color: red }\n", count: 200))
        try write("digits.txt", String(repeating: "0123456789", count: 200))
        try write("large.bin", String(repeating: "0123456789abcdef", count: 40_000))
        try write("empty.txt", "")
        try write("docs/index.html", "docs\n")
        try write("bare/file.txt", "no index here\n")
        try write("a b/é.txt", "odd name\n")
        try write(".env", "secret\n")
        try write(".well-known/security.txt", "contact\n")
    }

    deinit {
        if nginx.isRunning {
            nginx.terminate()
            nginx.waitUntilExit()
        }
        try? FileManager.default.removeItem(at: folder)
    }

    private func write(_ path: String, _ text: String) throws {
        let url = root.appending(path: path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
        // In the past, so that no server takes the date for too fresh to be exact.
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: 1_769_860_800)], ofItemAtPath: url.path)
    }

    private var socketPath: String { folder.appending(path: "s").path }

    private func startNginx(application: Int) throws {
        let configuration = folder.appending(path: "nginx.conf")
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map { "\($0)_temp_path \(folder.path)/\($0);" }.joined(separator: " ")
        try Data(
            """
            daemon off; master_process off; worker_processes 1; pid \(folder.path)/nginx.pid; error_log \(folder.path)/error.log;
            events { worker_connections 256; }
            http {
                include /etc/nginx/mime.types; default_type application/octet-stream; access_log off; \(temporary)
                gzip on; gzip_types text/css text/plain; gzip_min_length 256; gzip_vary on; gzip_http_version 1.0;
                server {
                    listen unix:\(socketPath); root \(root.path); absolute_redirect off;
                    location /app/ {
                        proxy_pass http://127.0.0.1:\(application); proxy_http_version 1.1; proxy_set_header Connection "";
                        proxy_set_header Host $http_host;
                    }
                }
            }
            """.utf8
        ).write(to: configuration)
        nginx.executableURL = Command.find("nginx")
        nginx.arguments = ["-c", configuration.path, "-p", folder.path]
        nginx.standardError = FileHandle.nullDevice
        nginx.standardInput = FileHandle.nullDevice
        try nginx.run()
        guard eventually(seconds: 20, { (try? RawClient(unixPath: socketPath)) != nil || !nginx.isRunning }), nginx.isRunning else {
            let log = (try? String(contentsOf: folder.appending(path: "error.log"), encoding: .utf8)) ?? ""
            throw RawClient.Failure(description: "nginx did not start: \(log)")
        }
    }

    // MARK: Requests

    private static let requests: [Request] = {
        var requests: [Request] = []
        let files = ["/", "/index.html", "/style.css", "/digits.txt", "/large.bin", "/empty.txt", "/docs/", "/a%20b/%C3%A9.txt", "/.well-known/security.txt"]
        let oddPaths = [
            "/nothing", "/docs", "/docs?x=1", "/bare", "/bare/", "/.env", "/%2eenv", "//index.html", "/docs//index.html", "/./index.html",
            "/docs/../index.html", "/docs/%2e%2e/index.html", "/docs%2Findex.html", "/index.html/", "/index.html?query=1", "/INDEX.html",
            "/index.html%00", "/%", "/%zz", "/index.html;a=b", "/a+b/", "/bare/file.txt?", "/digits.txt?a=/../b",
        ]
        for target in files + oddPaths {
            for method in ["GET", "HEAD"] { requests.append(Request(method: method, target: target)) }
        }
        let ranges = [
            "bytes=0-0", "bytes=0-9", "bytes=5-", "bytes=-5", "bytes=-100000000", "bytes=1999-", "bytes=2000-", "bytes=0-1999", "bytes=0-99999999",
            "bytes=0-0,1500-1509", "bytes=0-9,5-14", "bytes=0-9,1000-1009,-5", "bytes=9-0", "bytes=", "bytes=a-b", "lines=0-9", "bytes=-0",
            "bytes=0-9, 1500-1509", "bytes=99999999999999999999-", "bytes=" + (0..<20).map { "\($0 * 100)-\($0 * 100)" }.joined(separator: ","),
        ]
        for target in ["/digits.txt", "/empty.txt", "/large.bin"] {
            for range in ranges { requests.append(Request(method: "GET", target: target, fields: ["Range: \(range)"])) }
        }
        let old = "Sat, 31 Jan 2026 11:00:00 GMT", exact = "Sat, 31 Jan 2026 12:00:00 GMT", new = "Sat, 31 Jan 2026 13:00:00 GMT"
        let conditions = [
            ["If-None-Match: TAG"], ["If-None-Match: \"x\""], ["If-None-Match: \"x\", TAG"], ["If-None-Match: *"], ["If-None-Match: W/TAG"],
            ["If-Match: TAG"], ["If-Match: \"x\""], ["If-Match: *"], ["If-Match: \"x\", TAG"], ["If-Modified-Since: \(exact)"], ["If-Modified-Since: \(old)"],
            ["If-Modified-Since: \(new)"], ["If-Modified-Since: nonsense"], ["If-Unmodified-Since: \(exact)"], ["If-Unmodified-Since: \(old)"],
            ["If-Unmodified-Since: \(new)"], ["If-None-Match: \"x\"", "If-Modified-Since: \(exact)"], ["Range: bytes=0-4", "If-Range: TAG"],
            ["Range: bytes=0-4", "If-Range: \"x\""], ["Range: bytes=0-4", "If-Range: \(exact)"], ["Range: bytes=0-4", "If-Range: \(old)"],
            ["Range: bytes=0-4", "If-None-Match: TAG"], ["Range: bytes=0-4", "If-Match: \"x\""], ["Range: bytes=0-4", "If-Unmodified-Since: \(old)"],
        ]
        for target in ["/digits.txt", "/large.bin"] {
            for fields in conditions { for method in ["GET", "HEAD"] { requests.append(Request(method: method, target: target, fields: fields)) } }
        }
        for accepted in ["gzip", "gzip;q=0", "identity", "*", "br;q=1, gzip;q=0.1", ""] {
            for target in ["/style.css", "/large.bin", "/app/text"] {
                requests.append(Request(method: "GET", target: target, fields: ["Accept-Encoding: \(accepted)"]))
            }
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
            for target in ["/index.html", "/app/text"] { requests.append(Request(method: method, target: target, fields: ["Content-Length: 0"])) }
        }
        for status in [200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 410, 418, 500, 503] {
            for method in ["GET", "HEAD"] { requests.append(Request(method: method, target: "/app/status/\(status)")) }
        }
        return requests
    }()

    // MARK: Comparison

    @Test func `what differs from nginx is in the list, and what is in the list differs`() throws {
        #expect(Self.requests.count >= 200)
        let origin = try ScriptedOrigin { request in
            let parts = request.target.split(separator: "/")
            let status = parts.count == 3 ? Int(parts[2]) ?? 200 : 200
            let isHead = request.head.hasPrefix("HEAD ")
            let body = status == 204 || status == 304 ? "" : String(repeating: "text of \(status)\n", count: 50)
            let length = status == 204 || status == 304 ? [] : ["Content-Length: \(body.utf8.count)"]
            let fields = ["Content-Type: text/plain", "X-Application: yes"] + (status / 100 == 3 ? ["Location: /elsewhere"] : []) + length
            return [.send((["HTTP/1.1 \(status) Words"] + fields).joined(separator: "\r\n") + "\r\n\r\n" + (isHead ? "" : body))]
        }
        try startNginx(application: origin.port)
        let file = try TemporaryFile(
            """
            edge:
              root: \(root.path)
              compression: {codings: [gzip], min_size: 256B}
              access_log: "off"
              metrics_path: "off"
              upstreams: {application: \(origin.url)}
              routes: [{match: {path: [/app]}, upstream: application}]
            """)
        let edge = try HeadraceProcess(["--config", file.path])
        var met: Set<Difference> = []
        var unexplained: [String] = []
        for request in Self.requests {
            let ours = try ask(request) { try RawClient(port: edge.port) }
            let theirs = try ask(request) { try RawClient(unixPath: socketPath) }
            for (what, our, their) in compare(ours, theirs, request) {
                if let difference = explanation(request, what, our, their) {
                    met.insert(difference)
                } else {
                    unexplained.append("\(request): \(what): ours \(our), nginx \(their)")
                }
            }
        }
        #expect(unexplained.isEmpty, "\(unexplained.count) of \(Self.requests.count):\n\(unexplained.joined(separator: "\n"))")
        let unmet = Set(Difference.allCases).subtracting(met)
        #expect(unmet.isEmpty, "listed, but not so")
        let page = try String(contentsOf: HeadraceProcess.repository.appending(path: "docs/edge.md"), encoding: .utf8)
        for difference in Difference.allCases { #expect(page.contains("**\(difference.rawValue)**"), "\(difference.rawValue)") }
    }

    private func ask(_ request: Request, _ connect: () throws -> RawClient) throws -> RawClient.Response? {
        func exchange(_ method: String, _ fields: [String]) throws -> RawClient.Response {
            let lines = ["\(method) \(request.target) HTTP/1.1", "Host: a.example", "Connection: close"] + fields
            let client = try connect()
            client.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
            return try client.readResponse(hasBody: method != "HEAD", seconds: 10)
        }
        var fields = request.fields
        if fields.contains(where: { $0.contains("TAG") }) {
            let tag = try exchange("HEAD", []).field("ETag") ?? ""
            fields = fields.map { $0.replacing("TAG", with: tag) }
        }
        return try? exchange(request.method, fields)
    }

    /// What says something about the content; the rest is each server's own affair.
    private static let fields = [
        "Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified", "Location", "Content-Encoding", "X-Application", "Vary",
    ]

    private func compare(_ ours: RawClient.Response?, _ theirs: RawClient.Response?, _ request: Request) -> [(String, String, String)] {
        guard let ours, let theirs else { return ours == nil && theirs == nil ? [] : [("answer", "\(ours != nil)", "\(theirs != nil)")] }
        if ours.status != theirs.status { return [("status", "\(ours.status)", "\(theirs.status)")] }
        // Error pages are each server's own, but for the application's.
        if ours.status >= 400, ours.field("X-Application") == nil, theirs.field("X-Application") == nil { return [] }
        var differences: [(String, String, String)] = []
        let isInParts = ours.field("Content-Type")?.hasPrefix("multipart") == true && theirs.field("Content-Type")?.hasPrefix("multipart") == true
        for name in Self.fields {
            var (our, their) = (ours.field(name) ?? "–", theirs.field(name) ?? "–")
            switch name {
            case "Content-Type":
                // nginx adds the charset only when told which.
                if isInParts { continue }
                (our, their) = (String(our.prefix { $0 != ";" }), String(their.prefix { $0 != ";" }))
                // The names for JavaScript and icons are older in nginx's table; none of them is among the files.
                if ours.status == 304 || ours.status / 100 == 3 && ours.field("X-Application") == nil { continue }
            case "Content-Length":
                // Compressed bytes are each compressor's own, and a stream has no length.
                if isInParts || ours.field("Content-Encoding") != nil || ours.status == 304 || ours.status == 301 { continue }
            case "Accept-Ranges", "Last-Modified", "Vary":
                if ours.status == 304 || ours.status == 206 { continue }
            default: break
            }
            if our != their { differences.append((name, our, their)) }
        }
        if (ours.field("ETag") == nil) != (theirs.field("ETag") == nil) { differences.append(("ETag", "\(ours.field("ETag") ?? "–")", "\(theirs.field("ETag") ?? "–")")) }
        if ours.field("ETag")?.hasPrefix("W/") != theirs.field("ETag")?.hasPrefix("W/") {
            differences.append(("tag", ours.field("ETag") ?? "–", theirs.field("ETag") ?? "–"))
        }
        let isOurs = ours.status == 301 && ours.field("X-Application") == nil
        if request.method != "HEAD", !isOurs, !isInParts, (try? Decoded.text(ours)) != (try? Decoded.text(theirs)) {
            differences.append(("body", "\(ours.body.count) bytes", "\(theirs.body.count) bytes"))
        }
        if isInParts, parts(ours) != parts(theirs) { differences.append(("parts", "\(parts(ours).count)", "\(parts(theirs).count)")) }
        return differences
    }

    /// The `Content-Range` of each part with its bytes.
    private func parts(_ response: RawClient.Response) -> [String] {
        guard let boundary = response.field("Content-Type")?.components(separatedBy: "boundary=").last else { return [] }
        return response.text.components(separatedBy: "--\(boundary)").compactMap { part in
            guard let range = part.firstMatch(of: /Content-Range: (bytes [^\r]*)\r\n/), let end = part.range(of: "\r\n\r\n") else { return nil }
            return "\(range.1): \(part[end.upperBound...])"
        }
    }

    private func explanation(_ request: Request, _ what: String, _ our: String, _ their: String) -> Difference? {
        let target = request.target
        let range = request.fields.first { $0.hasPrefix("Range: ") } ?? ""
        if target.contains("/.env") || target.contains("%2eenv"), our == "404" { return .hiddenFile }
        if target.lowercased().contains("%2f") { return .encodedSlash }
        if target.contains("/../") || target.contains("/./") || target.contains("%2e%2e") { return .dotSegments }
        if ["CONNECT", "TRACE"].contains(request.method) { return .tunnel }
        if !["GET", "HEAD"].contains(request.method), !target.hasPrefix("/app") { return .methodOnFiles }
        if target.hasPrefix("/bare"), what == "status", their == "403" { return .listingOff }
        if target == "/empty.txt", !range.isEmpty { return .emptyRange }
        if ["bytes=9-0", "bytes=", "bytes=a-b", "lines=0-9", "bytes=-0"].contains(where: { range == "Range: \($0)" }) { return .malformedRange }
        if range == "Range: bytes=0-9,5-14" { return .overlappingRanges }
        if range.hasPrefix("Range: bytes=0-0,100-100,") { return .rangesInParts }
        if what == "Location" { return .folderRedirect }
        if what == "tag" { return .weakenedTag }
        if request.fields.contains(where: { $0.hasPrefix("If-Modified-Since: ") }), what == "status" { return .ifMatchOfDate }
        return nil
    }
}
