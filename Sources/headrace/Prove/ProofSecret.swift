import ArgumentParser
import Edge
import Foundation
import LoadGenerator

/// The secret that requests to an edge that serves are signed with.
enum ProofSecret {
    private static let path = "prove.secret"

    /// What a request says to go past these layers, signed now.
    static func field(_ without: EdgeLayers, secret: String) -> Workload.Field {
        Workload.Field(ProofField.name, ProofField.value(without: without, secret: secret, seconds: Int64(Date().timeIntervalSince1970)))
    }

    /// - Parameters:
    ///   - word: `env:NAME` or `file:PATH`, from the command line.
    ///   - file: the configuration that has it, when the command line and the environment do not.
    /// - Throws: `ValidationError`; `ExitCode` when the configuration has mistakes.
    static func read(_ word: String?, file: String?) throws -> String {
        let environment = ProcessInfo.processInfo.environment
        guard let key = ConfigurationKeys.key(path) else { preconditionFailure("no key \(path)") }
        let value = word ?? (file == nil ? environment[key.environmentName] : nil)
        if let value {
            let reader = SettingReader(environment: environment) { try String(contentsOfFile: $0, encoding: .utf8) }
            var settings = Settings()
            reader.assign(key, [value], .flag, at: .flag("--secret"), isPlain: word == nil, to: &settings)
            if let secret = settings.edge.proof.secret, reader.problems.isEmpty { return secret }
            throw ValidationError("--secret: \(reader.problems.map(\.text).joined(separator: "; "))")
        }
        let options = try ConfigurationOptions.parse(file.map { ["--config", $0] } ?? [])
        guard options.hasFile else { throw ValidationError("which secret is it? --secret env:NAME, --secret file:PATH, or --config FILE with \(path)") }
        guard let secret = try options.loadOrExit().settings.edge.proof.secret else {
            throw ValidationError("the configuration has no \(path): openssl rand -hex 32 makes one")
        }
        return secret
    }
}
