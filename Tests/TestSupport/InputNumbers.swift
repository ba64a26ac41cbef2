import Foundation

/// The numbers of a fuzz test's inputs, from 0: so many, twenty times as many with `HEADRACE_LONG`, or with `HEADRACE_FUZZ_SECONDS` as many as so long allows.
public struct InputNumbers: Sequence, IteratorProtocol {
    private let count: Int
    private let end: ContinuousClock.Instant?
    private var number = 0

    public init(_ count: Int) {
        let environment = ProcessInfo.processInfo.environment
        self.count = environment["HEADRACE_LONG"] == nil ? count : 20 * count
        end = environment["HEADRACE_FUZZ_SECONDS"].flatMap(Int.init).map { .now + .seconds($0) }
    }

    public mutating func next() -> Int? {
        guard end.map({ .now < $0 }) ?? (number < count) else { return nil }
        defer { number += 1 }
        return number
    }
}
