import HTTPSemantics
import NIOCore

/// Gives a ``Fetch`` a file's bytes as an application would: a head, the body in pieces, the end. Belongs to its event loop.
///
/// It reads the next piece when the fetch wants it, so that a large file never lies in memory as a whole.
final class FileSource {
    /// A quarter of the most that is held whole; two such pieces are under way for a slow client at most.
    private static let pieceBytes = 64 << 10

    private let files: StaticFiles
    private let worker: EdgeWorker
    private var fetch: Fetch?
    private var file: StaticFiles.OpenFile?
    private var offset = 0
    private var isReading = false

    init(files: StaticFiles, worker: EdgeWorker, fetch: Fetch) {
        self.files = files
        self.worker = worker
        self.fetch = fetch
    }

    /// - Parameters:
    ///   - path: what is looked for.
    ///   - known: the entity tag of a stored response: if the file still has it, its body is not read again.
    func start(_ path: StaticFilePath, known: EntityTag?) {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        files.open(path, on: worker.eventLoop).whenComplete { result in
            bound.value.opened(result, path, known: known)
        }
    }

    private func opened(_ result: Result<StaticFiles.Found, any Error>, _ path: StaticFilePath, known: EntityTag?) {
        guard let fetch else { return }
        switch result {
        case .success(.file(let file)):
            self.file = file
            var head = ResponseHead()
            head.status = known == file.entityTag ? 304 : status(of: file, for: fetch)
            head.framing =
                switch head.status {
                case 200: fetch.method == .head ? .none : .length(file.size)
                case 412: .length(0)
                default: .none
                }
            var text: [UInt8] = []
            head.fields.append("Content-Type", file.contentType)
            if head.framing == .none, head.status == 200 { head.fields.append("Content-Length", String(file.size)) }
            HTTPDate.append(file.modified, to: &text)
            head.fields.append("Last-Modified", String(decoding: text, as: UTF8.self))
            text = []
            file.entityTag.append(to: &text)
            head.fields.append("ETag", String(decoding: text, as: UTF8.self))
            fetch.responseBegan(head, now: .now())
            if case .length = head.framing, head.status == 200 { resume() } else { end() }
        case .success(.folderWithoutSlash):
            self.fetch = nil
            fetch.isFolderWithoutSlash()
        case .success(.nothing), .failure:
            self.fetch = nil
            fetch.isNoFile()
        }
    }

    /// What the client's own conditions make of a file, when no stored response answers them.
    private func status(of file: StaticFiles.OpenFile, for fetch: Fetch) -> Int {
        guard let request = fetch.conditionalRequest else { return 200 }
        return switch ConditionalPolicy.evaluate(request, current: file.entityTag, lastModified: file.modified) {
        case .proceed: 200
        case .notModified: 304
        case .failed: 412
        }
    }

    /// Reads on, if the fetch wants more.
    func resume() {
        guard let fetch, let file, !isReading, fetch.wantsResponse else { return }
        guard offset < file.size else { return end() }
        isReading = true
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        files.read(file, from: offset, count: min(Self.pieceBytes, file.size - offset), on: worker.eventLoop)
            .whenComplete { bound.value.read($0) }
    }

    private func read(_ result: Result<ByteBuffer, any Error>) {
        isReading = false
        guard let fetch, let file else { return }
        guard case .success(let piece) = result, piece.readableBytes > 0 else {
            // It became shorter than its length, which has been promised already.
            self.fetch = nil
            return fetch.failed(.truncated)
        }
        offset += piece.readableBytes
        fetch.responseBody(piece)
        if offset >= file.size { return end() }
        fetch.responsePaused()
        resume()
    }

    private func end() {
        let fetch = self.fetch
        self.fetch = nil
        fetch?.responseEnded(trailers: nil)
    }

    func abandon() {
        fetch = nil
    }
}
