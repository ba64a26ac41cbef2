public import Logging
import NIOCore
import NIOSSL
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The certificates of a server with several names: the one that a client asks for by name is shown (SNI, RFC 6066 §3), or else the
/// first. Their files can be read anew while connections go on.
public final class TLSCertificates: Sendable {
    /// What is known of one, without its key.
    public struct Description: Sendable, Equatable, Codable {
        /// The file that it came from.
        public let file: String
        /// The names that it is made out to, in lower case; `*.example.org` is for the names one label below.
        public let names: [String]
        /// When it ends, in Unix seconds.
        public let expires: Int64

        public init(file: String, names: [String], expires: Int64) {
            (self.file, self.names, self.expires) = (file, names, expires)
        }
    }

    /// A file of which something is wrong.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        public let file: String
        public let reason: String
        /// Whether it is there, perhaps, and this user may not read it.
        var isForbidden = false
        public var description: String { "\(file): \(reason)" }
    }

    private struct Certificate: Sendable {
        let description: Description
        let chain: [NIOSSLCertificateSource]
        let key: NIOSSLPrivateKeySource
    }

    /// By what a file is known to have changed.
    private struct Stamp: Sendable, Equatable {
        let inode: UInt64
        let bytes: Int64
        let seconds: Int
        let nanoseconds: Int
    }

    private struct State: Sendable {
        var files: [TLSFiles]
        var certificates: [Certificate]
        /// Of the files of each.
        var stamps: [[Stamp?]]
    }

    private let state: Lock<State>

    /// - Parameter files: certificate and key of each, in PEM; without a key it stands in the certificate's file.
    /// - Throws: ``Problem`` when a file cannot be read, or does not hold what it should, or a key is another certificate's.
    public init(_ files: [TLSFiles]) throws {
        state = Lock(try Self.read(files))
    }

    /// Takes other files, or the same anew.
    /// - Returns: which of the same this user may not read any more: what was read of them stays.
    /// - Throws: ``Problem``; nothing has changed then.
    public func replace(_ files: [TLSFiles]) throws -> [Problem] {
        let old = state.withLock { $0 }
        var new = State(files: files, certificates: [], stamps: [])
        var problems: [Problem] = []
        for files in files {
            let stamp = Self.stamps(files)
            do {
                new.certificates.append(try Self.certificate(files))
                new.stamps.append(stamp)
            } catch let problem as Problem where problem.isForbidden {
                guard let index = old.files.firstIndex(of: files) else { throw problem }
                new.certificates.append(old.certificates[index])
                new.stamps.append(old.stamps[index])
                problems.append(problem)
            }
        }
        guard !files.isEmpty else { throw TLSFilesIncomplete() }
        let taken = new
        state.withLock { $0 = taken }
        return problems
    }

    /// Reads those anew whose files have changed.
    /// - Returns: how many were read, and what is wrong with others: they stay as they are, and are tried again the next time.
    public func replaceChanged() -> (count: Int, problems: [Problem]) {
        let old = state.withLock { $0 }
        var new = old
        var (count, problems) = (0, [Problem]())
        for (index, files) in old.files.enumerated() {
            let stamp = Self.stamps(files, known: old.stamps[index])
            guard stamp != old.stamps[index] else { continue }
            do {
                new.certificates[index] = try Self.certificate(files)
                new.stamps[index] = stamp
                count += 1
            } catch {
                problems.append(error as? Problem ?? Problem(file: files.certificate ?? "", reason: "\(error)"))
            }
        }
        guard count > 0 else { return (0, problems) }
        // Unless a reload has taken other files meanwhile.
        let isTaken = state.withLock { state in
            guard state.files == old.files else { return false }
            state = new
            return true
        }
        return (isTaken ? count : 0, problems)
    }

    /// How often the files are looked at: a new one shows within this time.
    static let interval = Duration.seconds(5)

    /// Reads files anew that have changed, until the task is cancelled: a certificate that was renewed is served without a word, and
    /// connections go on with the one that they began with.
    public func watch(_ logger: Logger) -> Task<Void, Never> {
        Task { [self] in
            var said: [Problem] = []
            while true {
                do { try await Task.sleep(for: Self.interval) } catch { return }
                let (count, problems) = replaceChanged()
                if count > 0 { logger.notice("certificates read anew", metadata: ["count": "\(count)"]) }
                // Once, and not every five seconds.
                if !problems.isEmpty, problems != said {
                    let text = problems.map(\.description).joined(separator: "; ")
                    logger.error("certificates not read: the old ones stay", metadata: ["error": "\(text)"])
                }
                said = problems
            }
        }
    }

    public var descriptions: [Description] { state.withLock { $0.certificates.map(\.description) } }

    /// Which of the certificates is for a name, from 0.
    /// - Parameter name: as the client says it; `nil` for one that says none.
    /// - Source: RFC 6125 §6.4.3: a wildcard stands for one whole label, the leftmost.
    static func choice(of name: String?, among lists: [[String]]) -> Int {
        guard let name = name?.lowercased() else { return 0 }
        if let exact = lists.firstIndex(where: { $0.contains(name) }) { return exact }
        guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return 0 }
        let wildcard = "*" + name[dot...]
        return lists.firstIndex { $0.contains(wildcard) } ?? 0
    }

    /// What TLS shows a client.
    func override(for name: String?) -> NIOSSLContextConfigurationOverride {
        let certificates = state.withLock { $0.certificates }
        let certificate = certificates[Self.choice(of: name, among: certificates.map(\.description.names))]
        var override = NIOSSLContextConfigurationOverride()
        override.certificateChain = certificate.chain
        override.privateKey = certificate.key
        return override
    }

    // MARK: Files

    private static func read(_ files: [TLSFiles]) throws -> State {
        guard !files.isEmpty else { throw TLSFilesIncomplete() }
        // Before what they are of.
        let stamps = files.map { Self.stamps($0) }
        return State(files: files, certificates: try files.map(certificate), stamps: stamps)
    }

    private static func certificate(_ files: TLSFiles) throws -> Certificate {
        guard let file = files.certificate else { throw TLSFilesIncomplete() }
        let keyFile = files.key ?? file
        let (chainBytes, keyBytes) = (try bytes(file), try bytes(keyFile))
        let chain = try orProblem(file, "holds no certificate in PEM that can be read") { try NIOSSLCertificate.fromPEMBytes(chainBytes) }
        guard let own = chain.first else { throw Problem(file: file, reason: "holds no certificate") }
        let key = try orProblem(keyFile, "holds no private key in PEM that can be read") { try NIOSSLPrivateKey(bytes: keyBytes, format: .pem) }
        let sources = chain.map { NIOSSLCertificateSource.certificate($0) }
        _ = try orProblem(keyFile, "is not the private key of \(file)") {
            try NIOSSLContext(configuration: .makeServerConfiguration(certificateChain: sources, privateKey: .privateKey(key)))
        }
        let names = own._subjectAlternativeNames().compactMap { name -> String? in
            guard name.nameType == .dnsName else { return nil }
            return String(decoding: name.contents, as: UTF8.self).lowercased()
        }
        return Certificate(
            description: Description(file: file, names: names, expires: Int64(own.notValidAfter)), chain: sources, key: .privateKey(key))
    }

    private static func orProblem<Result>(_ file: String, _ reason: String, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch { throw Problem(file: file, reason: "\(reason) (\(error))") }
    }

    private static func bytes(_ file: String) throws(Problem) -> [UInt8] {
        do {
            return try ConfiguredFile.read(file)
        } catch {
            throw Problem(file: file, reason: error.reason, isForbidden: error.isForbidden)
        }
    }

    /// - Parameter known: of the same files: what nobody lets us see any more has not changed as far as we know.
    private static func stamps(_ files: TLSFiles, known: [Stamp?] = []) -> [Stamp?] {
        ([files.certificate, files.key] as [String?]).enumerated().map { index, file -> Stamp? in
            guard let file else { return nil }
            do throws(ConfiguredFile.Problem) {
                let status = try ConfiguredFile.status(file)
                return Stamp(
                    inode: UInt64(status.st_ino), bytes: Int64(status.st_size), seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
            } catch {
                return error.isForbidden && index < known.count ? known[index] : nil
            }
        }
    }
}

extension TLSServerContext {
    /// TLS as a public server speaks it: 1.2 and 1.3, forward secrecy and authenticated encryption only.
    /// - Source: RFC 9325 §4.2; RFC 8996.
    /// - Throws: when a file cannot be read or does not hold what it should.
    public init(
        _ certificates: TLSCertificates, clientCertificates: ClientCertificates, authorities: String?, applicationProtocols: [String]
    ) throws {
        let first = certificates.override(for: nil)
        guard let chain = first.certificateChain, let key = first.privateKey else { throw TLSFilesIncomplete() }
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
        configuration.cipherSuiteValues = [
            .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ]
        configuration.sslContextCallback = { values, promise in promise.succeed(certificates.override(for: values.serverHostname)) }
        try self.init(
            configuration, TLSFiles(authorities: authorities), clientCertificates: clientCertificates,
            applicationProtocols: applicationProtocols)
    }
}
