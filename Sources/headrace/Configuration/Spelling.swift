/// "Did you mean …?"
enum Spelling {
    /// The word nearest to what was written, if it is near enough to be meant: a third of its letters may differ.
    static func nearest(_ written: String, in words: [String]) -> String? {
        let candidates = words.map { (word: $0, distance: distance(written.lowercased(), $0.lowercased())) }
        guard let best = candidates.min(by: { $0.distance < $1.distance }), best.distance <= max(1, best.word.count / 3) else {
            return nil
        }
        return best.word
    }

    /// How many letters must be changed, added, left out, or swapped with their neighbour.
    private static func distance(_ a: String, _ b: String) -> Int {
        // Names are short; what is longer is no misspelling of one.
        let (a, b) = (Array(a.prefix(64)), Array(b.prefix(64)))
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
