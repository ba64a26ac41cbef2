/// The place of a case in its enum's `allCases`, without looking for it: an enum without payloads is in memory the number of its case, in the
/// order of declaration, which a synthesized `allCases` has, too.
@inline(__always)
func caseNumber<Case: CaseIterable>(_ value: Case) -> Int {
    withUnsafeBytes(of: value) { $0.isEmpty ? 0 : Int($0[0]) }
}
