import ArgumentParser
import LoadGenerator
import Transport

/// What is sent to a keyspace: the part of the command line that is for `redis://`.
struct CommandOptions: ParsableArguments {
    @Option(
        name: .customLong("command"),
        help: ArgumentHelp("Of redis://: [WEIGHT@]COMMAND, with {{key}} and {{value}} in it; may be repeated. Unless said, 9@GET {{key}} and SET {{key}} {{value}}.", valueName: "command"))
    var commands: [String] = []

    @Option(help: "Commands that are sent together and make one request.")
    var pipeline = 1

    @Option(help: "Different keys.")
    var keys = 10_000

    @Option(help: ArgumentHelp("How often each key is drawn: uniform, zipf, or zipf:EXPONENT; zipf is zipf:0.99.", valueName: "name"))
    var keyDistribution = "zipf"

    @Option(help: "Size of a value.")
    var valueSize = "100B"

    func validate() throws {
        guard (1...10_000).contains(pipeline) else { throw ValidationError("--pipeline: from 1 to 10000") }
        guard (1...1_000_000_000).contains(keys) else { throw ValidationError("--keys: from 1 to 1000000000") }
        _ = try mix(seed: 1)
    }

    func workload(_ url: RedisURL, endpoint: SocketEndpoint?, seed: UInt64, keepsAlive: Bool) throws -> Workload {
        do {
            return try mix(seed: seed).workload(url.login, at: endpoint ?? url.endpoint, keepsAlive: keepsAlive)
        } catch let error as CommandMix.Invalid {
            throw ValidationError("\(error)")
        }
    }

    private func mix(seed: UInt64) throws -> CommandMix {
        var mix = commands.isEmpty ? CommandMix() : CommandMix(try commands.map { try Weighted.split($0, "--command") })
        mix.keyCount = keys
        mix.pipeline = pipeline
        mix.seed = seed
        mix.keyDistribution = try distribution()
        do {
            mix.valueBytes = try SizeText.parse(valueSize)
        } catch {
            throw ValidationError("--value-size: \(error.text)")
        }
        return mix
    }

    private func distribution() throws -> CommandMix.KeyDistribution {
        if keyDistribution == "uniform" { return .uniform }
        if keyDistribution == "zipf" { return .zipf(0.99) }
        if keyDistribution.hasPrefix("zipf:"), let exponent = Double(keyDistribution.dropFirst(5)), exponent > 0, exponent <= 10 {
            return .zipf(exponent)
        }
        throw ValidationError("--key-distribution \(keyDistribution): uniform, zipf, or zipf:0.99 with an exponent above 0, up to 10")
    }
}

/// `[WEIGHT@]TEXT`.
enum Weighted {
    static func split(_ text: String, _ option: String) throws -> (weight: Int, text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, text.dropFirst(digits.count).first == "@" else { return (1, text) }
        guard let weight = Int(digits), (1...RequestLine.weightMax).contains(weight) else {
            throw ValidationError("\(option) \(text): a weight is a whole number from 1 to \(RequestLine.weightMax)")
        }
        return (weight, String(text.dropFirst(digits.count + 1)))
    }
}
