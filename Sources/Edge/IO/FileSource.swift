import HTTPSemantics
import NIOCore

/// Gives a ``Fetch`` a file's bytes as an application would: a head, the body in pieces, the end. Belongs to its event loop.
///
/// It goes on when the fetch wants more, so that a large file never lies in memory as a whole. What goes to a client as it is, the
/// kernel takes from the file itself (sendfile), and the bytes never come here.
final class FileSource {
    /// A quarter of the most that is held whole; two such pieces are under way for a slow client at most.
    private static let pieceBytes = 64 << 10
    /// What the kernel is given at a time. 1 MiB: before each but the first it is looked whether the file still reaches so far.
    private static let regionBytes = 1 << 20

    /// 250 ms: thousands may wait.
    private static let restTime = TimeAmount.milliseconds(250)

    /// A stretch of the body.
    private enum Stretch {
        case text([UInt8])
        case bytes(Range<Int>)
    }

    private let files: StaticFiles
    private let worker: EdgeWorker
    private var fetch: Fetch?
    private var file: StaticFiles.OpenFile?
    /// What is to be sent yet, last first.
    private var stretches: [Stretch] = []
    private var isReading = false
    /// The size that the file had at its opening still holds.
    private var hasJustOpened = false

    init(files: StaticFiles, worker: EdgeWorker, fetch: Fetch) {
        self.files = files
        self.worker = worker
        self.fetch = fetch
    }

    /// - Parameter known: the entity tag of a stored response: if the file still has it, its body is not read again.
    func start(_ query: StaticFiles.Query, known: EntityTag?) {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        files.open(query, on: worker.eventLoop).whenComplete { result in
            bound.value.opened(result, known: known)
        }
    }

    private func opened(_ result: Result<StaticFiles.Found, any Error>, known: EntityTag?) {
        guard let fetch else { return }
        switch result {
        case .success(.file(let file)):
            self.file = file
            hasJustOpened = true
            defer { hasJustOpened = false }
            let head = head(of: file, known: known, for: fetch)
            fetch.responseBegan(head, now: .now())
            if case .length = head.framing { resume() } else { end() }
        case .success(.listing(let page)):
            var head = ResponseHead()
            head.status = 200
            head.fields.append("Content-Type", "text/html; charset=utf-8")
            if fetch.method == .head {
                head.fields.append("Content-Length", String(page.utf8.count))
            } else {
                head.framing = .length(page.utf8.count)
                stretches = [.text(Array(page.utf8))]
            }
            fetch.responseBegan(head, now: .now())
            resume()
        case .success(.folderWithoutSlash):
            self.fetch = nil
            fetch.isFolderWithoutSlash()
        case .success(.nothing), .failure:
            self.fetch = nil
            fetch.isNoFile()
        }
    }

    /// Decides on the answer, and lays its body out.
    private func head(of file: StaticFiles.OpenFile, known: EntityTag?, for fetch: Fetch) -> ResponseHead {
        var head = ResponseHead()
        var contentType = file.contentType
        head.status = known == file.entityTag ? 304 : status(of: file, for: fetch)
        if head.status == 200 {
            var body = [Stretch.bytes(0..<file.size)]
            var count = file.size
            switch fetch.rangeAnswer(for: file) {
            case .whole: break
            case .part(let range):
                head.status = 206
                head.fields.append("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.size)")
                (body, count) = ([.bytes(range)], range.count)
            case .parts(let ranges):
                head.status = 206
                let multipart = MultipartRanges(ranges, of: file.size, contentType: contentType, number: worker.randomNumber())
                contentType = "multipart/byteranges; boundary=\(multipart.boundary)"
                body = zip(multipart.heads, ranges).flatMap { [.text($0), .bytes($1)] } + [.text(multipart.heads[ranges.count])]
                count = multipart.byteCount
            case .unsatisfiable:
                head.status = 416
                head.fields.append("Content-Range", "bytes */\(file.size)")
                (body, count) = ([], 0)
            }
            if fetch.method == .head {
                head.fields.append("Content-Length", String(count))
            } else {
                head.framing = .length(count)
                stretches = body.reversed()
            }
        } else if head.status == 412 {
            head.framing = .length(0)
        }
        // A 304 says what the 200 would say of keeping it, and nothing of its bytes (RFC 9110 §15.4.5).
        if head.status != 304 { head.fields.append("Content-Type", contentType) }
        var text: [UInt8] = []
        HTTPDate.append(file.modified, to: &text)
        head.fields.append("Last-Modified", String(decoding: text, as: UTF8.self))
        text = []
        file.entityTag.append(to: &text)
        head.fields.append("ETag", String(decoding: text, as: UTF8.self))
        if head.status != 304 { head.fields.append("Accept-Ranges", "bytes") }
        if file.coding != .identity { head.fields.append("Content-Encoding", "\(file.coding.token)") }
        // Of a single part its `Content-Range` tells it; of these two only who knows the file.
        let isNotModifiedOrParts = known == nil && (head.status == 304 || contentType != file.contentType)
        if file.variesByCoding || isNotModifiedOrParts && fetch.isCoded(file.size, contentType: file.contentType) { head.fields.append("Vary", "Accept-Encoding") }
        return head
    }

    /// What the client's own conditions make of a file, when no stored response answers them.
    private func status(of file: StaticFiles.OpenFile, for fetch: Fetch) -> Int {
        guard let request = fetch.conditionalRequest(forBytes: file.size, contentType: file.contentType) else { return 200 }
        return switch ConditionalPolicy.evaluate(request, current: file.entityTag, lastModified: file.modified) {
        case .proceed: 200
        case .notModified: 304
        case .failed: 412
        }
    }

    /// Goes on, if the fetch wants more.
    func resume() {
        while let fetch, !isReading, fetch.wantsResponse {
            guard let stretch = stretches.popLast() else { return end() }
            switch stretch {
            case .text(let text):
                fetch.responseBody(ByteBuffer(bytes: text))
            case .bytes(let range):
                guard let file, !range.isEmpty else { continue }
                if fetch.takesRegions { send(range, of: file, fetch) } else { read(range, of: file) }
            }
        }
    }

    private func keep(_ range: Range<Int>, from start: Int) {
        if start < range.upperBound { stretches.append(.bytes(start..<range.upperBound)) }
    }

    private func send(_ range: Range<Int>, of file: StaticFiles.OpenFile, _ fetch: Fetch) {
        let end = min(range.upperBound, range.lowerBound + Self.regionBytes)
        guard hasJustOpened || file.reaches(end) else { return truncated() }
        hasJustOpened = false
        keep(range, from: end)
        fetch.responseRegion(of: file, range.lowerBound..<end, isLast: stretches.isEmpty)
    }

    private func read(_ range: Range<Int>, of file: StaticFiles.OpenFile) {
        isReading = true
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        files.read(file, from: range.lowerBound, count: min(Self.pieceBytes, range.count), worker.pressure, on: worker.eventLoop).whenComplete {
            bound.value.read($0, range)
        }
    }

    private func read(_ result: Result<ByteBuffer, any Error>, _ range: Range<Int>) {
        isReading = false
        guard let fetch else { return }
        if case .failure(let error) = result, error is StaticFiles.Postponed {
            keep(range, from: range.lowerBound)
            return rest()
        }
        guard case .success(let piece) = result, piece.readableBytes > 0 else { return truncated() }
        keep(range, from: range.lowerBound + piece.readableBytes)
        fetch.responseBody(piece)
        if !stretches.isEmpty { fetch.responsePaused() }
        resume()
    }

    /// Reads nothing while memory is so short that others are cut for it; then goes on.
    private func rest() {
        isReading = true
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        worker.eventLoop.scheduleTask(in: Self.restTime) {
            guard bound.value.fetch != nil else { return }
            if bound.value.worker.pressure.level == .exchanges { return bound.value.rest() }
            bound.value.isReading = false
            bound.value.resume()
        }
    }

    /// The file became shorter than its length, which has been promised already.
    private func truncated() {
        let fetch = self.fetch
        self.fetch = nil
        fetch?.failed(.truncated)
    }

    private func end() {
        let fetch = self.fetch
        self.fetch = nil
        fetch?.responseEnded(trailers: nil, now: .now())
    }

    func abandon() {
        fetch = nil
    }
}
