import HTTPSemantics
import NIOCore

// A response that is made from a folder of files.

extension Fetch {
    /// The request, if its conditions are for who makes the response; `nil` when what comes is stored first.
    /// A file that will not be stored, for it is large and does not get smaller, meets the conditions itself.
    func conditionalRequest(forBytes count: Int, contentType: String) -> RequestHead? {
        lease == nil || isServedFromDisk(count, isCompressible: isCompressible(contentType)) ? request : nil
    }

    /// Whether others get the file in a coding of ours.
    func isCoded(_ count: Int, contentType: String) -> Bool {
        guard route.compression.isEnabled, !route.compression.codings.isEmpty, count >= route.compression.bytesMin else { return false }
        return isCompressible(contentType)
    }

    private func isCompressible(_ contentType: String) -> Bool { route.compressibleTypes.contains(contentType.utf8.span) }

    /// Which bytes of a file the client asks for; a range is never fetched to be stored.
    func rangeAnswer(for file: StaticFiles.OpenFile) -> RangePolicy.Answer {
        guard lease == nil || isServedFromDisk(file.size, isCompressible: isCompressible(file.contentType)) else { return .whole }
        return RangePolicy.answer(request, count: file.size, entityTag: file.entityTag, lastModified: file.modified)
    }

    /// Large files that compression does not make smaller stay where they are: the kernel sends them better than we do from memory.
    func isServedFromDisk(_ count: Int, isCompressible: @autoclosure () -> Bool) -> Bool {
        guard case .files = origin, count > Self.heldBytesMax else { return false }
        return !route.compression.isEnabled || !isCompressible()
    }

    /// Those of the codings that the client accepts, the one that it likes best first.
    func acceptedCodings(_ names: [String]) -> [ContentCoding] {
        let order = names.compactMap { ContentCoding(token: $0.utf8.span) }
        var left = order.reduce(into: CodingSet(.identity)) { $0.insert(CodingSet($1)) }
        var best: [ContentCoding] = []
        while let next = accepted.best(of: left, serverOrder: order), next != .identity {
            best.append(next)
            left.remove(CodingSet(next))
        }
        return best
    }

    /// There is no such file: the application's turn, if there is one.
    func isNoFile() {
        source = nil
        if let upstream = route.upstream {
            origin = .application(upstream)
            return start(now: .now())
        }
        end()
        finish(.notStored)
        let client = self.client
        self.client = nil
        let isRead = request.method == .get || request.method == .head
        client?.respondError(isRead ? 404 : 405, reason: .edge(isRead ? .noFile : .method), now: .now())
        client?.flushAndResume()
    }

    /// - Source: RFC 9110 §15.4.2.
    func isFolderWithoutSlash() {
        source = nil
        end()
        finish(.notStored)
        let client = self.client
        self.client = nil
        let text = request.fields.bytes
        let target = String(copying: text.span.extracting(request.target))
        let path = target.prefix { $0 != "?" }
        // "//host" would be a reference to another host (RFC 3986 §4.2).
        let folder = "/" + path.drop { $0 == "/" } + "/" + target.dropFirst(path.count)
        client?.respond(status: 301, contentType: "text/plain; charset=utf-8", "Moved.\n", now: .now(), location: folder)
        client?.flushAndResume()
    }
}
