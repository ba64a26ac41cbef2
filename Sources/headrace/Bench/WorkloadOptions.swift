import ArgumentParser
import Foundation
import LoadGenerator
import Transport

/// What is sent and what must come back: the part of the command line that all measuring commands share.
struct WorkloadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A method other than GET.", valueName: "word"))
    var method: String?

    @Option(name: [.customLong("header"), .customShort("H")], help: "A field to send with each request; may be repeated.")
    var headers: [String] = []

    @Option(help: ArgumentHelp("A body to send with each request; with @ before it, a file's content.", valueName: "text"))
    var body: String?

    @Option(help: ArgumentHelp("Fill {{column}} in URLs, fields and bodies from this CSV file, a row per request.", valueName: "file"))
    var data: String?

    @Flag(name: .customLong("cookies"), help: "Keep the cookies that are set, for each connection.")
    var keepsCookies = false

    @Flag(name: .customLong("follow"), help: "Follow redirections within the origin; the chain counts as one request.")
    var followsRedirects = false

    @Flag(name: .customLong("no-keep-alive"), help: "Make a new connection for each request.")
    var isConnectionPerRequest = false

    @Flag(name: .customLong("http2"), help: "Speak HTTP/2: by ALPN over https, with prior knowledge over http.")
    var isHTTP2 = false

    @Option(help: "Of HTTP/2: requests that share a connection at the same time, 100 unless said; a server's own limit holds, too.")
    var streams: Int?

    @Option(help: "A response that is not complete after this time is a failure.")
    var timeout = "10s"

    @Option(help: "The one status that is a success; without it any from 200 to 399 is.")
    var expectStatus: Int?

    @Option(help: "The number of body bytes, as transferred, that a success has.")
    var expectLength: Int?

    @Option(help: ArgumentHelp("The SHA-256 of the body, as transferred, that a success has.", valueName: "hex"))
    var expectHash: String?

    @Option(help: ArgumentHelp("A text that the body of a success contains, as transferred.", valueName: "text"))
    var expectText: String?

    @Option(help: "Connect to this Unix domain socket instead of the URL's host.")
    var unixSocket: String?

    @Flag(name: .customLong("insecure"), help: "Take any certificate: for servers of your own.")
    var isInsecure = false

    func validate() throws {
        _ = try timeLimit()
        if let expectStatus, !(200...999).contains(expectStatus) {
            throw ValidationError("--expect-status: a final status has three digits, from 200")
        }
        if let expectLength, expectLength < 0 { throw ValidationError("--expect-length: not below 0") }
        _ = try expectedBody()
        if let streams {
            guard isHTTP2 else { throw ValidationError("--streams: is of --http2") }
            guard (1...1000).contains(streams) else { throw ValidationError("--streams: from 1 to 1000") }
            guard streams == 1 || !isConnectionPerRequest else { throw ValidationError("--streams: with --no-keep-alive no connection is shared") }
        }
    }

    private func expectedBody() throws -> ResponseExpectation.Body {
        guard [expectLength != nil, expectHash != nil, expectText != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("--expect-length, --expect-hash, --expect-text: one of them")
        }
        if let expectLength { return .length(expectLength) }
        if let expectText {
            guard !expectText.isEmpty else { throw ValidationError("--expect-text: every body contains nothing") }
            return .text(Array(expectText.utf8))
        }
        guard let expectHash else { return .any }
        let digits = expectHash.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == 64, expectHash.utf8.count == 64 else { throw ValidationError("--expect-hash: 64 hexadecimal digits, as sha256sum writes them") }
        return .sha256(stride(from: 0, to: 64, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
    }

    static let streamsDefault = 100

    /// Requests under way on one connection; `nil` for HTTP/1.
    private var http2Streams: Int? { isHTTP2 ? isConnectionPerRequest ? 1 : streams ?? Self.streamsDefault : nil }

    func timeLimit() throws -> Duration {
        let limit = try Self.duration(timeout, "--timeout")
        guard limit > .zero else { throw ValidationError("--timeout: no response takes no time") }
        return limit
    }

    var endpoint: SocketEndpoint? { unixSocket.map { .unix(path: $0) } }

    func workload(_ requests: [RequestSpecification]) throws -> Workload {
        var requests = requests
        do {
            let content = try bodyText()
            if method != nil || content != nil {
                for index in requests.indices {
                    if let method { requests[index].method = method }
                    if let content { requests[index].body = Array(content.utf8) }
                }
            }
            let fields = try fields()
            var common = fields
            if let data {
                requests = try Self.filled(requests, fields: fields, table: try RequestSources.table(data))
                common = []
            }
            return try Workload(
                requests, fields: common, keepsAlive: !isConnectionPerRequest, keepsCookies: keepsCookies,
                followsRedirects: followsRedirects, http2Streams: http2Streams,
                expecting: ResponseExpectation(
                    status: expectStatus.map { .exactly($0) } ?? .successOrRedirection, body: try expectedBody()))
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("\(error)")
        }
    }

    /// Those of --header.
    func fields() throws -> [Workload.Field] { try headers.map { try Self.field($0) } }

    func tls(_ workload: Workload) throws -> TLSClient? {
        guard workload.isSecure, case .tcp(let host, _) = workload.endpoint else { return nil }
        // HTTP/1.1 is offered, too, so that a server that has no h2 says so and does not break off.
        return try TLSClient(host: host, verifies: !isInsecure, protocols: isHTTP2 ? ["h2", "http/1.1"] : ["http/1.1"])
    }

    private func bodyText() throws -> String? {
        guard let body, body.hasPrefix("@") else { return body }
        let path = String(body.dropFirst())
        guard let data = FileManager.default.contents(atPath: path) else { throw ValidationError("--body \(body): the file cannot be read") }
        return String(decoding: data, as: UTF8.self)
    }

    /// Each request with each row: first all requests with the first one.
    private static func filled(_ requests: [RequestSpecification], fields: [Workload.Field], table: RowTable) throws -> [RequestSpecification] {
        guard !table.rows.isEmpty else { throw ValidationError("--data: there is no row") }
        guard table.rows.count <= RequestSources.requestsMax / max(requests.count, 1) else {
            throw ValidationError("--data: \(table.rows.count) rows for \(requests.count) requests are more than \(RequestSources.requestsMax)")
        }
        return try table.rows.flatMap { row in
            try requests.map { request in
                func fill(_ text: String) throws -> String { try RequestTemplate.filled(text, columns: table.columns, row: row) }
                var request = request
                request.url = try HTTPURL(request.url.origin + (try fill(request.url.target)))
                request.fields = try (fields + request.fields).map { Workload.Field($0.name, try fill($0.value)) }
                request.body = Array(try fill(String(decoding: request.body, as: UTF8.self)).utf8)
                return request
            }
        }
    }

    private static func field(_ text: String) throws -> Workload.Field {
        guard let colon = text.firstIndex(of: ":") else { throw Workload.Invalid.field(text) }
        let value = text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        return Workload.Field(String(text[..<colon]), value)
    }

    static func duration(_ text: String, _ option: String) throws -> Duration {
        do {
            return .nanoseconds(try DurationText.parse(text).nanoseconds)
        } catch {
            throw ValidationError("\(option): \(error.text)")
        }
    }
}
