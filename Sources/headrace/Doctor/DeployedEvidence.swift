import Foundation

/// What was found of a Headrace that serves, as values: ``DeployedChecks`` judge it. What could not be looked at is `nil`.
struct DeployedEvidence: Sendable {
    /// What came of a request through the public address.
    enum Passage: Sendable, Equatable {
        /// It came back with an answer that only this edge can write.
        case signed
        /// A Headrace answered; which one cannot be told without `prove.secret`.
        case unsigned
        /// Something else answered, or an edge that did not take the signature.
        case elsewhere(String)
    }

    /// What happened while marked requests went through the edge and past its cache.
    struct Crossing: Sendable {
        var requests: Int
        /// That reached the application.
        var upstream: Double
        var transactions: Double
        var commands: Double
    }

    /// A session of PostgreSQL.
    struct Session: Sendable, Equatable {
        var process: String
        var user: String
        var application: String
        var address: String
        var database: String
        var isPooler: Bool
    }

    /// How a port answers somebody who is not on this machine.
    enum Access: Sendable, Equatable {
        /// Nobody answers, or nobody is let in.
        case closed
        /// Whoever connects is in.
        case withoutPassword
        /// A password is asked for, on a line that anybody on the way can read.
        case unencrypted
    }

    /// One address that was tried from outside.
    struct Door: Sendable, Equatable {
        var address: String
        var access: Access
    }

    struct Layer: Sendable, Decodable {
        var title: String
        var state: String
    }

    struct Service: Sendable, Decodable {
        var name: String
        var state: String
        var lastError: String?
    }

    struct Path: Sendable, Decodable {
        var pattern: String
        var requests: Double
        var seconds: Double
        var hitShare: Double
        var hint: String?
    }

    /// What `latest.json` says.
    struct Latest: Sendable, Decodable {
        var layers: [Layer]
        var services: [Service]
        var totals: [String: Double?]
        /// For operators.
        var paths: [Path]?

        init(_ data: Data) throws {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            self = try decoder.decode(Self.self, from: data)
        }

        /// A counter since the start; the keys of the document are `pool_transactions` and the like.
        func total(_ name: String) -> Double {
            let parts = name.split(separator: "_")
            let camel = parts.enumerated().map { $0.offset == 0 ? String($0.element) : $0.element.capitalized }.joined()
            return (totals[camel] ?? totals[name] ?? 0) ?? 0
        }
    }

    /// The process that listens at the edge's address.
    struct Process: Sendable {
        var identifier: Int32
        /// `nil` when it may not be seen.
        var openFilesMax: Int?
    }

    var url = ""
    var passage = Passage.unsigned
    var crossing: Crossing?
    var latest: Latest?
    /// `nil` without a pooler; the text says why they cannot be listed.
    var sessions: Result<[Session], DoctorProblem>?
    /// By how much the database's clock is ahead of ours, in seconds.
    var databaseClockAhead: Double?
    var postgresDoors: [Door] = []
    var poolerDoors: [Door] = []
    var keyspaceDoors: [Door] = []
    /// Addresses at which the application answers by itself.
    var applicationDoors: [String] = []
    var hasApplicationOnThisMachine = false
    /// File, and days until its end.
    var certificates: [(file: String, days: Double)] = []
    var process: Process?
    /// Descriptors that the limits of the configuration may take together.
    var descriptorsWanted = 0
    /// Values of /proc/sys.
    var kernel: [String: [Int]] = [:]
    /// Of this machine, or of the group that the process is in, if that is less; in bytes.
    var memoryBytes: Int?
    var cacheBytes: Int?
    /// `nil` without a keyspace, 0 without a bound.
    var keyspaceBytes: Int?
}

/// Why something cannot be looked at.
struct DoctorProblem: Error, Sendable, CustomStringConvertible {
    let description: String
}
