/// The bytes of one page in each coding.
struct PageSizes: Sendable {
    let target: String
    /// By coding; `identity` first.
    let sizes: [(coding: String, bytes: Int)]

    /// The share that gzip saves, 0…1.
    var savedByGzip: Double { saved("gzip") }

    /// Less than this share saved by gzip would mean that compression does not work.
    static let savedMin = 0.8

    /// Why compression is not what it must be; `nil` when it is.
    var problem: String? {
        guard savedByGzip < Self.savedMin else { return nil }
        return "gzip saves \(Int(savedByGzip * 100)) % of \(target), less than \(Int(Self.savedMin * 100)) %\n\(rendered())"
    }

    /// The share that a coding saves, 0…1; 0 of what was not measured.
    func saved(_ coding: String) -> Double {
        guard let plain = sizes.first?.bytes, plain > 0, let packed = sizes.first(where: { $0.coding == coding })?.bytes else { return 0 }
        return 1 - Double(packed) / Double(plain)
    }

    func rendered() -> String {
        var table = TextTable(columns: [.left("page \(target)"), .right("bytes"), .right("saved")])
        for (coding, bytes) in sizes {
            let name = coding == "identity" ? "without compression" : coding
            table.add([name, "\(bytes)", coding == "identity" ? "" : "\(Int((saved(coding) * 100).rounded())) %"])
        }
        return table.rendered()
    }
}
