import TestSupport
import Testing

@testable import HTTPSemantics

@Suite struct AcceptedCodingsTests {
    private func read(_ values: String...) -> AcceptedCodings {
        var fields = FieldSection()
        for value in values { fields.append("Accept-Encoding", value) }
        return AcceptedCodings(fields)
    }

    private static let all: CodingSet = [.identity, .gzip, .brotli, .zstd]
    private static let order: [ContentCoding] = [.zstd, .brotli, .gzip]

    private func best(_ value: String, _ available: CodingSet = all) -> ContentCoding? {
        read(value).best(of: available, serverOrder: Self.order)
    }

    // MARK: What is accepted

    @Test(
        arguments: [
            // RFC 9110 §12.5.3's five examples.
            ("compress, gzip", CodingSet([.identity, .gzip])), ("", [.identity]), ("*", [.identity, .gzip, .brotli, .zstd]),
            ("compress;q=0.5, gzip;q=1.0", [.identity, .gzip]), ("gzip;q=1.0, identity; q=0.5, *;q=0", [.identity, .gzip]),
            // Identity is acceptable unless it is excluded.
            ("gzip, identity;q=0", [.gzip]), ("gzip, *;q=0", [.gzip]), ("*;q=0", []), ("identity;q=0", []),
            ("*;q=0, identity", [.identity]),
            ("*;q=0, identity;q=0.001", [.identity]), ("br, *;q=0.1", [.identity, .gzip, .brotli, .zstd]),
            ("*, gzip;q=0", [.identity, .brotli, .zstd]),
            // Spelling.
            ("GZIP", [.identity, .gzip]), ("x-gzip", [.identity, .gzip]), ("X-GZip;Q=0.5", [.identity, .gzip]),
            ("gzip ; q=0", [.identity]),
            ("gzip;q=0.0", [.identity]), ("gzip;q=0.000", [.identity]), ("gzip;q=0.001", [.identity, .gzip]),
            (",,gzip,", [.identity, .gzip]),
            ("gzipp, xgzip, gzi", [.identity]), ("deflate, compress, sdch", [.identity]), ("gzip;x=y;q=0", [.identity]),
            // Twice: the larger weight.
            ("gzip;q=0, gzip;q=0.5", [.identity, .gzip]), ("gzip, gzip;q=0", [.identity, .gzip]),
        ] as [(String, CodingSet)])
    func `a coding is accepted or not`(value: String, accepted: CodingSet) {
        for coding in ContentCoding.allCases {
            #expect(read(value).accepts(coding) == accepted.contains(CodingSet(coding)), "\(coding) of \(value)")
        }
    }

    @Test(arguments: [
        "gzip;q=", "gzip;q=a", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=.5", "gzip;q=-1", "gzip;q=0.5x",
        "gzip;q=\"1\"", "gzip;q=1.0000", "gzip;q=00", "gzip;q=+1",
    ])
    func `a coding with a malformed weight is not sent`(value: String) {
        #expect(!read(value).accepts(.gzip))
        #expect(!read(value + ", *").accepts(.gzip), "what is named is not one of the others")
        #expect(read(value).accepts(.identity))
    }

    @Test func `without the field nothing but the plain representation is sent`() {
        #expect(AcceptedCodings(FieldSection()) == .identityOnly)
        #expect(AcceptedCodings.identityOnly.best(of: Self.all, serverOrder: Self.order) == .identity)
        #expect(AcceptedCodings.any.best(of: Self.all, serverOrder: Self.order) == .zstd)
    }

    @Test func `several lines are one list`() {
        #expect(read("gzip;q=0.5", "br") == read("gzip;q=0.5, br"))
    }

    // MARK: Which is sent

    @Test(
        arguments: [
            ("gzip, deflate, br, zstd", ContentCoding.zstd), ("gzip, deflate, br", .brotli), ("gzip", .gzip),
            ("gzip;q=1, br;q=0.9", .gzip),
            ("gzip;q=0.8, br;q=0.9, zstd;q=0.1", .brotli), ("identity", .identity), ("gzip;q=0.5, identity;q=1", .identity),
            ("gzip;q=0.5, identity;q=0.5", .gzip), ("*", .zstd), ("*;q=0.5, gzip", .gzip), ("", .identity),
            ("br;q=0", .identity),
            ("identity;q=0.5, gzip;q=0.4", .identity), ("gzip;q=0.001", .gzip),
        ] as [(String, ContentCoding)])
    func `the highest weight wins, the server's order among equals`(value: String, coding: ContentCoding) {
        #expect(best(value) == coding)
    }

    @Test func `only what is available is sent, and nothing when nothing is acceptable`() {
        #expect(best("zstd, gzip;q=0.5", [.identity, .gzip]) == .gzip)
        #expect(best("zstd, br", [.identity, .gzip]) == .identity)
        #expect(best("zstd, identity;q=0", [.identity, .gzip]) == nil)
        #expect(best("*;q=0") == nil)
        #expect(best("gzip", []) == nil)
        #expect(best("gzip", [.brotli]) == nil)
    }

    // MARK: Signatures

    @Test func `spellings that mean gzip have one signature`() {
        let spellings = [
            ["gzip"], ["GZIP"], ["x-gzip"], ["gzip;q=1.0"], ["  gzip ,"], ["gzip, deflate"], ["deflate;q=0.9, gzip"],
            ["gzip;q=1, br;q=0"],
            ["gzip", "compress"], ["gzip;q=0.8"], ["gzip;q=0.9, identity;q=0.1"], ["gzip, identity;q=0.5"],
            ["gzip, zstd;q=0, *;q=0, identity;q=0.5"],
        ]
        let signatures = Set(
            spellings.map { values in
                var fields = FieldSection()
                for value in values { fields.append("accept-encoding", value) }
                return AcceptedCodings(fields).signature
            })
        #expect(signatures.count == 1)
    }

    @Test func `different answers have different signatures`() {
        let values = [
            "gzip", "br", "zstd", "gzip, br", "gzip, br;q=0.5", "gzip;q=0.5, br", "*", "identity", "gzip, identity;q=0",
            "*;q=0", "gzip;q=0.5, identity",
        ]
        #expect(Set(values.map { read($0).signature }).count == values.count)
        #expect(read("").signature == AcceptedCodings.identityOnly.signature)
    }

    @Test func `weights that order the codings alike are one signature: a client cannot make a thousand variants`() {
        var signatures: Set<UInt64> = []
        for gzip in 0...1000 { signatures.insert(read("gzip;q=\(Double(gzip) / 1000), br;q=0.5").signature) }
        // Not accepted, below brotli, equal to it, above it.
        #expect(signatures.count == 4)
    }

    @Test(arguments: UInt64(1)...5) func `equal signatures give equal answers for whatever is available`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let names = ["gzip", "br", "zstd", "identity", "*", "x-gzip"]
        var answers: [UInt64: [ContentCoding?]] = [:]
        for _ in 0..<300 {
            let members = (0..<Int.random(in: 0...4, using: &random)).map { _ in
                "\(names.randomElement(using: &random)!);q=\(["0", "0.3", "0.5", "1"].randomElement(using: &random)!)"
            }
            let accepted = read(members.joined(separator: ","))
            let answer = (0..<16).map { accepted.best(of: CodingSet(rawValue: UInt8($0)), serverOrder: Self.order) }
            #expect(answers[accepted.signature, default: answer] == answer, "\(members)")
            answers[accepted.signature] = answer
        }
    }
}

@Suite struct ContentCodingTests {
    @Test(arguments: ContentCoding.allCases) func `every coding is known by its name in any case`(coding: ContentCoding) {
        #expect(ContentCoding(token: Array("\(coding.token)".utf8).span) == coding)
        #expect(ContentCoding(token: Array("\(coding.token)".uppercased().utf8).span) == coding)
    }

    @Test(arguments: ["", "gzi", "gzipp", "brotli", "deflate", "*"]) func `other names are no coding that we know`(name: String)
    {
        #expect(ContentCoding(token: Array(name.utf8).span) == nil)
    }
}
