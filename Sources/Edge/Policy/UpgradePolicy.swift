import HTTPSemantics

/// Whether a client may switch to another protocol with the application, WebSocket above all.
///
/// What is switched to is between those two; the edge passes bytes. So that nothing of it can be taken for a request or a response of
/// HTTP, the upgrade is offered only where 101 can be told from everything else, and HTTP/2 is never offered: that would be the
/// edge's own to speak.
/// - Source: RFC 9110 §7.8; RFC 6455 §4.
enum UpgradePolicy {
    /// Whether the request asks for it in a way that is passed on.
    static func isOffered(_ request: borrowing RequestHead) -> Bool {
        guard request.fields.contains(.upgrade), request.fields.contains(.connection), request.minorVersion > 0,
            request.framing.isEmpty, request.method == .get, ConnectionOptions(request.fields).names(Self.upgrade.span)
        else { return false }
        return !protocols(request.fields).contains { $0.hasPrefix("h2") || $0.hasPrefix("http/") || $0.hasPrefix("tls/") }
    }

    /// Whether a 101 switches to something that was offered.
    static func isAccepted(_ response: borrowing ResponseHead, offered request: borrowing RequestHead) -> Bool {
        let chosen = protocols(response.fields)
        let offered = protocols(request.fields)
        return !chosen.isEmpty && chosen.allSatisfy { offered.contains($0) }
    }

    private static let upgrade = Array("upgrade".utf8)

    /// What `Upgrade` lists, in small letters.
    private static func protocols(_ fields: borrowing FieldSection) -> [String] {
        var names: [String] = []
        for index in fields.lines.indices where fields.lines[index].name == .upgrade {
            let members = String(copying: fields.value(at: index)).split(separator: ",")
            for member in members {
                let name = member.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }
                if !name.isEmpty { names.append(name.lowercased()) }
            }
        }
        return names
    }
}
