import ArgumentParser
import Edge
import Foundation
import LoadGenerator

/// The edge that runs under a configuration, as a command asks it: where it listens, and the token for what only operators may.
struct RunningEdge {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Scheme, host and port to connect to.
    let address: HTTPURL
    let token: String?

    /// - Parameter to: where to connect to instead of where the configuration says that it listens.
    init(_ edge: EdgeConfiguration, to: String?) throws {
        token = edge.purge.token
        if let to {
            do {
                address = try HTTPURL(to.contains("://") ? to : "http://" + to)
            } catch {
                throw ValidationError("--to \(to): \(error)")
            }
            return
        }
        for case .tcp(let host, let port) in edge.listen where port != 0 {
            // An address that stands for all of them is no address to connect to.
            let reachable = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host
            address = try HTTPURL("http://" + (reachable.contains(":") ? "[\(reachable)]" : reachable) + ":\(port)")
            return
        }
        throw ValidationError("the configuration names no address to connect to: --to http://HOST:PORT")
    }

    /// - Parameters:
    ///   - url: whose host and target are asked for.
    ///   - host: what `Host` says instead.
    func ask(_ method: String, _ url: HTTPURL, host: String? = nil, fields: [Workload.Field]) async throws -> PageFetch.Page {
        var fields = fields
        fields.append(Workload.Field("Host", host ?? url.authority))
        if let token { fields.append(Workload.Field("Headrace-Key", token)) }
        let target = try HTTPURL(address.origin + url.target)
        let page = try await PageFetch(timeout: .seconds(40), verifies: true).get(target, fields: fields, method: method)
        guard page.head.status == 200 else {
            throw Failure(description: "\(address.origin) answers \(page.head.status): \(Self.reason(page))")
        }
        return page
    }

    private static func reason(_ page: PageFetch.Page) -> String {
        let document = (try? JSONSerialization.jsonObject(with: Data(page.body))) as? [String: Any]
        let hints = [
            "purge-disabled": "set edge.purge.token or edge.purge.clients", "purge-client": "this machine is not in edge.purge.clients",
            "purge-token": "its edge.purge.token is another",
        ]
        if let words = document?["error"] as? String { return words }
        guard let reason = document?["reason"] as? String else { return "it does not know this; is it a Headrace of this version?" }
        return hints[reason].map { "\(reason): \($0)" } ?? reason
    }
}
