/// Several questions at once: the more one asks, the likelier chance says yes to one of them.
/// - Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).
public enum Holm {
    /// p-values such that to accept those below 5 % makes one false finding or more, over all of them, in 5 % of families.
    /// - Returns: in the order given; each at least what it was, at most 1.
    public static func adjusted(_ pValues: [Double]) -> [Double] {
        var result = pValues
        var least = 0.0
        for (place, index) in pValues.indices.sorted(by: { pValues[$0] < pValues[$1] }).enumerated() {
            least = max(least, min(1, pValues[index] * Double(pValues.count - place)))
            result[index] = least
        }
        return result
    }
}
