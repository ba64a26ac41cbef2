import Foundation
import FuzzChecks
import TestSupport
import Testing

/// The fuzz that every `make test` has: the same checks as `Fuzz/run`, on inputs that are changed at random and not by what they reach.
///
/// How it works:
/// 1. The corpus of a target, and its fail cases, are given to the target's check as they are: each find of the past stays found.
/// 2. From a seed, inputs are made of them: bits turned, bytes set, pieces taken out, doubled, or put in from another input or the dictionary.
/// 3. What must hold is a precondition: a find ends the process. The input that did it is in the file that is named here, and
///    `.build-fuzz/release/headrace-fuzz TARGET FILE` shows it.
///
/// With `HEADRACE_LONG` there are twenty times as many, with `HEADRACE_FUZZ_SECONDS` as many as so long allows, for each target: `.ci/run` says 30. libFuzzer, which goes by coverage and watches memory, is in `make test-full`: building it
/// takes longer than all other tests of the parsers together.
@Suite struct ShortFuzzTests {
    private static let seed: UInt64 = 20_260_101
    private static let inputsPerTarget = 8000
    /// As in `Fuzz/run`.
    private static let bytesMax = 2048

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fuzz")

    @Test(arguments: FuzzTarget.allCases) func `no input breaks what must hold`(target: FuzzTarget) throws {
        let corpus = try Self.corpus(target)
        #expect(!corpus.isEmpty)
        let record = try InputRecord(target.rawValue)
        for input in corpus {
            record.write(input)
            input.withUnsafeBufferPointer(target.check)
        }
        var mutation = InputMutation(corpus: corpus, words: try Self.dictionary(), seed: Self.seed, bytesMax: Self.bytesMax)
        for _ in InputNumbers(Self.inputsPerTarget) {
            let input = mutation.next()
            record.write(input)
            input.withUnsafeBufferPointer(target.check)
        }
    }

    @Test func `a planted crash is found`() async {
        await #expect(processExitsWith: .failure) {
            var mutation = InputMutation(corpus: [Array("twit".utf8), Array("sheet".utf8)], words: [Array("twe".utf8)], seed: 1, bytesMax: 16)
            for _ in 0..<200_000 { mutation.next().withUnsafeBufferPointer(checkCanary) }
        }
    }

    @Test func `every target has inputs to begin with, and every folder of inputs a target`() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.folder.appending(path: "Corpus").path)
        #expect(Set(folders) == Set(FuzzTarget.allCases.map(\.rawValue)))
    }

    @Test func `the same seed makes the same inputs, none longer than it may be`() {
        func inputs() -> [[UInt8]] {
            var mutation = InputMutation(corpus: [Array("a longer input".utf8), []], words: [Array("word".utf8)], seed: 7, bytesMax: 16)
            return (0..<1000).map { _ in mutation.next() }
        }
        #expect(inputs() == inputs())
        #expect(inputs().allSatisfy { $0.count <= 16 } && Set(inputs()).count > 300)
    }

    private static func corpus(_ target: FuzzTarget) throws -> [[UInt8]] {
        let own = folder.appending(path: "Corpus/\(target.rawValue)")
        let cases = folder.appending(path: "FailCases")
        let files =
            try FileManager.default.contentsOfDirectory(at: own, includingPropertiesForKeys: nil)
            + ((try? FileManager.default.contentsOfDirectory(at: cases, includingPropertiesForKeys: nil)) ?? [])
            .filter { $0.lastPathComponent.hasPrefix("\(target.rawValue)-") }
        return try files.sorted { $0.path < $1.path }.map { Array(try Data(contentsOf: $0)) }
    }

    /// Words in quotes, bytes that are no text as `\xNN`.
    private static func dictionary() throws -> [[UInt8]] {
        try String(contentsOf: folder.appending(path: "words.dict"), encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("\"") }.map { line in
            var word: [UInt8] = []
            var rest = line.dropFirst().dropLast()
            while let character = rest.popFirst() {
                guard character == "\\", let kind = rest.popFirst() else {
                    word += Array(String(character).utf8)
                    continue
                }
                guard kind == "x", let byte = UInt8(rest.prefix(2), radix: 16) else {
                    word += Array(String(kind).utf8)
                    continue
                }
                word.append(byte)
                rest = rest.dropFirst(2)
            }
            return word
        }
    }
}

/// The input that is being looked at, in a file that is left behind when the process ends over it.
private final class InputRecord {
    private let descriptor: Int32
    private let path: String

    init(_ name: String) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "headrace-fuzz-\(name)-\(getpid())").path
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0)
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    func write(_ input: [UInt8]) {
        _ = pwrite(descriptor, input, input.count, 0)
        ftruncate(descriptor, input.count)
    }
}
