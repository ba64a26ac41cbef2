import Foundation
import LoadGenerator

/// Where requests come from that are not on the command line: files of URLs, sitemaps, access logs, tables of values.
struct RequestSources {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// More requests than this are not made ready: an access log's first ones count.
    static let requestsMax = 100_000
    static let fileBytesMax = 1 << 30

    /// A file with a ``RequestLine`` in each line.
    static func urlFile(_ path: String, base: HTTPURL?) throws -> [RequestSpecification] {
        var requests: [RequestSpecification] = []
        for (index, line) in try text(path).split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            do {
                if let request = try RequestLine.parse(line, base: base) { requests.append(request) }
            } catch {
                throw Failure(description: "\(path):\(index + 1): \(error)")
            }
            guard requests.count <= requestsMax else { throw Failure(description: "\(path) has more than \(requestsMax) requests") }
        }
        return requests
    }

    /// A sitemap's pages, with the origin that the command line names in the place of theirs: what is measured is seldom the public address.
    static func sitemap(_ path: String, base: HTTPURL?) throws -> [RequestSpecification] {
        let locations = Sitemap.locations(try text(path))
        guard !locations.isEmpty else { throw Failure(description: "\(path) has no <loc>") }
        return try locations.map { location in
            do {
                let url = try HTTPURL(location)
                return RequestSpecification(try base.map { try HTTPURL($0.origin + url.target) } ?? url)
            } catch {
                throw Failure(description: "\(path): \(error)")
            }
        }
    }

    /// An access log's requests, in their order and so with their mix.
    /// - Parameter methods: of those alone; GET and HEAD unless somebody says more, since a log does not have the bodies.
    static func accessLog(_ path: String, base: HTTPURL?, methods: Set<String>) throws -> [RequestSpecification] {
        guard let base else { throw Failure(description: "\(path): a log names paths: say which URL they belong to") }
        var requests: [RequestSpecification] = []
        for line in try text(path).split(whereSeparator: \.isNewline) {
            guard requests.count < requestsMax else { break }
            guard let entry = AccessLogLine(line), methods.contains(entry.method), let url = try? HTTPURL(base.origin + entry.target) else { continue }
            requests.append(RequestSpecification(url, method: entry.method))
        }
        guard !requests.isEmpty else { throw Failure(description: "\(path) has no request that may be replayed (\(methods.sorted().joined(separator: ", ")))") }
        return requests
    }

    /// An access log's requests with its timing.
    /// - Returns: the requests in the order of their times, and when each begins, in seconds from the first.
    static func replay(_ path: String, base: HTTPURL?, methods: Set<String>, speed: Double) throws -> (requests: [RequestSpecification], offsets: [Double]) {
        guard let base else { throw Failure(description: "\(path): a log names paths: say which URL they belong to") }
        var requests: [RequestSpecification] = []
        var times: [Double] = []
        for (index, line) in try text(path).split(whereSeparator: \.isNewline).enumerated() {
            guard requests.count < requestsMax else { break }
            guard let entry = AccessLogLine(line), methods.contains(entry.method), let url = try? HTTPURL(base.origin + entry.target) else { continue }
            guard let time = entry.time else { throw Failure(description: "\(path):\(index + 1): the line has no time that is understood, and its timing was asked for") }
            requests.append(RequestSpecification(url, method: entry.method))
            times.append(time)
        }
        guard !requests.isEmpty else { throw Failure(description: "\(path) has no request that may be replayed (\(methods.sorted().joined(separator: ", ")))") }
        let (order, offsets) = LogTime.schedule(times, speed: speed)
        return (order.map { requests[$0] }, offsets)
    }

    /// To be split at `isNewline`: CR and LF together are one character, and not the character LF.
    private static func text(_ path: String) throws -> String {
        do {
            let data = try Data(contentsOf: URL(filePath: path))
            guard data.count <= fileBytesMax else { throw Failure(description: "\(path) is larger than 1 GB") }
            return String(decoding: data, as: UTF8.self)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(description: "\(path): \(error.localizedDescription)")
        }
    }

    static func table(_ path: String) throws -> RowTable {
        do {
            return try RowTable(csv: try text(path))
        } catch let error as RequestTemplate.Invalid {
            throw Failure(description: "\(path): \(error)")
        }
    }
}
