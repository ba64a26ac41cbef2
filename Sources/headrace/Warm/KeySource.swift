import Foundation
import NIOCore
import PostgresWire

/// What a source gives next, and where it stands there.
struct SourcedKey {
    /// `prices.tsv:12`, `row 12`.
    let place: String
    let entry: Result<KeyEntry, ValueProblem>
}

/// Where the keys come from. Blocks; belongs to one thread.
protocol KeySource: AnyObject {
    /// - Throws: `KeySourceFailure` when nothing more can be had.
    func next() throws -> SourcedKey?
    /// How far it is, from 0 to 1; `nil` when nobody can say.
    var share: Double? { get }
}

/// The source itself failed: no file, no database, a command that ended with another status than 0.
struct KeySourceFailure: Error, CustomStringConvertible {
    let description: String
}

/// Entries on lines: of a file, of standard input or of what a command prints.
final class LineSource: KeySource {
    /// A longer line is none that a keyspace takes (`proto-max-bulk-len` is 512 MB, and escapes take room).
    static let lineBytesMax = 1 << 30

    private let name: String
    private let handle: FileHandle
    private let format: KeyLineFormat
    private let keepsJSON: Bool
    private let process: Process?
    private let endSeconds: Int
    private let bytesTotal: Int?
    private var bytesRead = 0
    private var lineNumber = 0
    private var pending: [UInt8] = []
    private var start = 0
    /// Up to here the bytes have no end of a line in them.
    private var searched = 0
    private var isAtEnd = false

    /// - Parameter path: `-` for standard input.
    init(file path: String, format: KeyLineFormat?, keepsJSON: Bool) throws {
        self.keepsJSON = keepsJSON
        self.format = format ?? KeyLineFormat(fileName: path)
        process = nil
        endSeconds = 0
        guard path != "-" else {
            (name, handle, bytesTotal) = ("standard input", .standardInput, nil)
            return
        }
        var info = stat()
        guard stat(path, &info) == 0, let handle = FileHandle(forReadingAtPath: path) else {
            throw KeySourceFailure(description: "\(path): \(String(cString: strerror(errno)))")
        }
        guard info.st_mode & S_IFMT != S_IFDIR else { throw KeySourceFailure(description: "\(path) is a folder") }
        name = path
        self.handle = handle
        bytesTotal = info.st_mode & S_IFMT == S_IFREG ? Int(info.st_size) : nil
    }

    /// - Parameters:
    ///   - command: for the shell; what it says on standard error goes to ours.
    ///   - endSeconds: that its end may take once it has closed its output.
    init(command: String, format: KeyLineFormat?, keepsJSON: Bool, endSeconds: Int = 60) throws {
        self.endSeconds = endSeconds
        name = "line "
        self.keepsJSON = keepsJSON
        self.format = format ?? .tsv
        bytesTotal = nil
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", command]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        do {
            try process.run()
        } catch {
            throw KeySourceFailure(description: "/bin/sh cannot be run: \(error.localizedDescription)")
        }
        self.process = process
        handle = pipe.fileHandleForReading
    }

    deinit {
        // Not SIGTERM: a child inherits the signals that its thread blocks, and threads of a pool block nearly all.
        if let process, process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    var share: Double? { bytesTotal.map { $0 == 0 ? 1 : min(1, Double(bytesRead) / Double($0)) } }

    func next() throws -> SourcedKey? {
        while let line = try line() {
            lineNumber += 1
            guard !line.isEmpty else { continue }
            let entry = Result { () throws(ValueProblem) in try format.entry(line, keepsJSON: keepsJSON) }
            return SourcedKey(place: process == nil ? "\(name):\(lineNumber)" : "\(name)\(lineNumber)", entry: entry)
        }
        // A command may have failed after it printed something: what there is of it is not all.
        if let process {
            let end = ContinuousClock.now + .seconds(endSeconds)
            while process.isRunning {
                guard ContinuousClock.now < end else {
                    throw KeySourceFailure(description: "the command has closed its output after \(lineNumber) lines, and does not end")
                }
                usleep(3_000)
            }
            guard process.terminationStatus == 0, process.terminationReason == .exit else {
                let how = process.terminationReason == .exit ? "with status" : "by signal"
                throw KeySourceFailure(description: "the command ended \(how) \(process.terminationStatus), after \(lineNumber) lines")
            }
        }
        return nil
    }

    /// The next line without its end, `\n` or `\r\n`; the last one may have none.
    private func line() throws -> ArraySlice<UInt8>? {
        while true {
            if let end = pending[searched...].firstIndex(of: 0x0A) {
                defer { (start, searched) = (end + 1, end + 1) }
                let line = pending[start..<end]
                return line.last == 0x0D ? line.dropLast() : line
            }
            searched = pending.count
            if isAtEnd {
                defer { start = pending.count }
                return start < pending.count ? pending[start...] : nil
            }
            guard pending.count - start <= Self.lineBytesMax else {
                throw KeySourceFailure(description: "\(name):\(lineNumber + 1): a line of more than \(SizeText.render(Self.lineBytesMax))")
            }
            try read()
        }
    }

    private func read() throws {
        pending.removeFirst(start)
        searched -= start
        start = 0
        do {
            // What there is, up to so much: a command's lines are filled as they come.
            guard let data = try handle.read(some: 256 << 10), !data.isEmpty else {
                isAtEnd = true
                return
            }
            bytesRead += data.count
            pending += data
        } catch {
            throw KeySourceFailure(description: "\(name): \(error)")
        }
    }
}

extension FileHandle {
    /// One read(2). `read(upToCount:)` waits until all of it is there.
    fileprivate func read(some count: Int) throws -> Data? {
        var data = Data(count: count)
        while true {
            let got = data.withUnsafeMutableBytes { Glibc.read(fileDescriptor, $0.baseAddress, count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw KeySourceFailure(description: String(cString: strerror(errno))) }
            return data.prefix(got)
        }
    }
}

/// Entries as the rows of a query: key, value and perhaps a lifetime in seconds.
final class RowSource: KeySource {
    /// PostgreSQL sends no longer message than 1 GB; so much memory one row may take.
    static let messageBytesMax = MessageFraming.messageBytesMax

    private let session: BlockingPostgres
    private var rowNumber = 0
    private var isAtEnd = false
    private var hasColumns = false

    var share: Double? { nil }

    /// Logs in and asks. Rows are read as they are used: the server waits meanwhile.
    init(_ url: PostgresURL, query: String, seconds: Int) throws {
        let environment = ProcessInfo.processInfo.environment
        let user = url.user ?? environment["PGUSER"] ?? environment["USER"] ?? "postgres"
        do {
            session = try BlockingPostgres(
                url, user: user, password: url.password ?? environment["PGPASSWORD"], applicationName: "headrace warm", seconds: seconds)
        } catch let failure as BlockingPostgres.Failure {
            throw KeySourceFailure(description: failure.description)
        }
        try session.ask(query)
    }

    func next() throws -> SourcedKey? {
        while !isAtEnd {
            let (kind, payload) = try message()
            switch kind {
            case BackendKind.rowDescription:
                let count = Int(payload.getInteger(at: payload.readerIndex, as: UInt16.self) ?? 0)
                guard (2...3).contains(count) else {
                    throw KeySourceFailure(description: "the query gives \(count == 1 ? "one column" : "\(count) columns"): a key, a value and perhaps a lifetime are expected")
                }
                hasColumns = true
            case BackendKind.dataRow:
                rowNumber += 1
                guard let columns = BackendMessage.dataRow(payload: payload) else { throw KeySourceFailure(description: "row \(rowNumber): broken framing") }
                return SourcedKey(place: "row \(rowNumber)", entry: Result { () throws(ValueProblem) in try KeyEntry(columns: columns) })
            case BackendKind.errorResponse:
                let fields = ErrorFields(payload: payload)
                throw KeySourceFailure(description: "the query failed after \(rowNumber) rows: \(fields.map { "\($0.message) (\($0.sqlState))" } ?? "")")
            case BackendKind.copyInResponse, BackendKind.copyOutResponse, BackendKind.copyBothResponse:
                throw KeySourceFailure(description: "COPY gives no rows: the query itself is wanted")
            case BackendKind.readyForQuery:
                guard hasColumns else { throw KeySourceFailure(description: "the query gives no rows at all: a SELECT is expected") }
                isAtEnd = true
                session.sayGoodbye()
            default: break
            }
        }
        return nil
    }

    private func message() throws -> (kind: UInt8, payload: ByteBuffer) {
        do {
            return try session.message()
        } catch let failure as BlockingPostgres.Failure {
            throw KeySourceFailure(description: "\(failure), after \(rowNumber) rows")
        }
    }
}
