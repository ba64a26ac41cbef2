import Edge

/// Addresses as operators write them.
enum AddressText {
    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `unix:/run/headrace.sock`. Port 0 lets the system choose.
    static func parse(_ text: String) throws(ValueProblem) -> EdgeConfiguration.SocketEndpoint {
        if let path = unixPath(text) { return .unix(path: path) }
        guard let (host, port) = split(text), let port else {
            throw ValueProblem("\"\(text)\" is no address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/headrace.sock")
        }
        return .tcp(host: host, port: port)
    }

    /// `http://127.0.0.1:3000`, `http://localhost`, `unix:/run/app.sock`.
    static func parseApplication(_ text: String) throws(ValueProblem) -> EdgeConfiguration.SocketEndpoint {
        if let path = unixPath(text) { return .unix(path: path) }
        if text.hasPrefix("https://") {
            throw ValueProblem("\"\(text)\" is encrypted; edge.app is http://HOST:PORT or unix:/PATH, and members of edge.upstreams may be https://HOST:PORT")
        }
        let prefix = "http://"
        var authority = text.hasPrefix(prefix) ? text.dropFirst(prefix.count)[...] : text[...]
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        guard !authority.contains("/"), !authority.contains("@"), let (host, port) = split(String(authority)), port != 0,
            port != nil || text.hasPrefix(prefix)
        else {
            throw ValueProblem("\"\(text)\" is no application such as http://127.0.0.1:3000 or unix:/run/app.sock")
        }
        return .tcp(host: host, port: port ?? 80)
    }

    /// A member of a group: as ``parseApplication(_:)``, and `https://app.internal:8443`.
    static func parseMember(_ text: String) throws(ValueProblem) -> (endpoint: EdgeConfiguration.SocketEndpoint, isSecure: Bool) {
        let prefix = "https://"
        guard text.hasPrefix(prefix) else { return (try parseApplication(text), false) }
        guard case .tcp(let host, let port) = try parseApplication("http://" + text.dropFirst(prefix.count)) else {
            throw ValueProblem("\"\(text)\" is no member such as https://app.internal:8443")
        }
        // What is not said is 80 there.
        let authority = text.dropFirst(prefix.count).prefix { $0 != "/" }
        let hasPort = (authority.lastIndex(of: "]").map { authority[$0...] } ?? authority).contains(":")
        return (.tcp(host: host, port: hasPort ? port : 443), true)
    }

    /// Whether a connection to an address reaches this process itself, which listens on another: names of loopback, and addresses that stand for all
    /// of the machine's, count as what they lead to. Other names and the machine's own addresses are not looked up.
    static func isSamePlace(_ target: EdgeConfiguration.SocketEndpoint, asListening door: EdgeConfiguration.SocketEndpoint) -> Bool {
        guard case .tcp(let host, let port) = target, case .tcp(let own, let ownPort) = door else { return target == door }
        guard port == ownPort, port != 0 else { return false }
        // All of 127.0.0.0/8 is this machine.
        if host.hasPrefix("127."), own == "0.0.0.0" || own == "::" { return true }
        return host.lowercased() == own.lowercased() || !reached(host).isDisjoint(with: listening(own))
    }

    /// What a connection to a host may lead to, of this machine's loopback. Connected to, an address that stands for all is loopback (ip(7)).
    private static func reached(_ host: String) -> Set<String> {
        switch host.lowercased() {
        case "localhost", "localhost.": ["127.0.0.1", "::1"]
        case "0.0.0.0": ["127.0.0.1"]
        case "::": ["::1"]
        case let host: [host]
        }
    }

    private static func listening(_ host: String) -> Set<String> {
        switch host.lowercased() {
        case "localhost", "localhost.": ["127.0.0.1", "::1"]
        case "0.0.0.0": ["127.0.0.1"]
        // IPv4 comes there, too.
        case "::": ["127.0.0.1", "::1"]
        case let host: [host]
        }
    }

    private static func unixPath(_ text: String) -> String? {
        guard text.hasPrefix("unix:/") else { return nil }
        return String(text.dropFirst("unix:".count))
    }

    /// Host and port; `nil` when it is neither, a port of `nil` when there is none.
    private static func split(_ text: String) -> (host: String, port: Int?)? {
        var host = text[...]
        var port: Int?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            if !rest.isEmpty { guard let number = portNumber(rest.dropFirst()) else { return nil }; port = number }
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            guard let number = portNumber(text[text.index(after: colon)...]) else { return nil }
            port = number
            guard !host.contains(":") else { return nil }
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }) else { return nil }
        return (String(host), port)
    }

    private static func portNumber(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(text), number <= 65_535 else {
            return nil
        }
        return number
    }
}
