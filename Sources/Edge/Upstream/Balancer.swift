#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Chooses one of a group's members. Plain functions over what ``UpstreamMachine`` knows of each.
///
/// All walk over the members once, some twice: a group has a handful, at most ``UpstreamGroup/membersMax``.
enum Balancer {
    /// What the choice looks at.
    struct Standing: Equatable, Sendable {
        /// Its share now, slow start included; above zero.
        var weight: Double
        /// Requests in progress.
        var active = 0
        /// Of this member alone, the same in every process and at all times.
        var hash: UInt64
        /// What smooth round robin keeps between two choices.
        var credit = 0.0
        /// Whether it may be chosen this time.
        var isCandidate = true
    }

    /// Smooth weighted round robin: each earns its weight, the richest is chosen and pays for all. With weights 5, 1, 1 that gives
    /// a a b a c a a, where others give a a a a a b c.
    static func roundRobin(_ members: inout [Standing]) -> Int? {
        var best: Int?
        var total = 0.0
        for index in members.indices where members[index].isCandidate {
            members[index].credit += members[index].weight
            total += members[index].weight
            if best == nil || members[index].credit > members[best!].credit { best = index }
        }
        if let best { members[best].credit -= total }
        return best
    }

    /// The one with the fewest requests in progress for its weight, the one that is asked for included; among equals by round robin.
    static func leastConnections(_ members: inout [Standing]) -> Int? {
        var least = Double.infinity
        for member in members where member.isCandidate { least = min(least, load(member)) }
        var best: Int?
        var total = 0.0
        for index in members.indices where members[index].isCandidate && load(members[index]) <= least {
            members[index].credit += members[index].weight
            total += members[index].weight
            if best == nil || members[index].credit > members[best!].credit { best = index }
        }
        if let best { members[best].credit -= total }
        return best
    }

    /// Draws two by weight and takes who has less to do.
    /// - Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
    static func randomOfTwo(_ members: [Standing], random: UInt64) -> Int? {
        guard let first = draw(members, except: nil, random: random) else { return nil }
        guard let second = draw(members, except: first, random: mixed(random)) else { return first }
        return load(members[second]) < load(members[first]) ? second : first
    }

    /// Weighted rendezvous hashing: each member throws a die that only it and the key determine; the highest wins. When a member
    /// goes, its keys alone move, spread over the others; when a weight grows, keys move to that member alone. It needs no table
    /// to be kept as a ring or Maglev does, at the price of a logarithm per member.
    /// - Source: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates" (1998); weights: J. Schindelhauer,
    ///   G. Schomaker, "Weighted distributed hash tables" (2005), the logarithmic method.
    static func rendezvous(_ members: [Standing], key: UInt64) -> Int? {
        var best: Int?
        var highest = -Double.infinity
        for index in members.indices where members[index].isCandidate {
            let bits = mixed(key ^ members[index].hash) >> 11
            // In (0, 1]: the logarithm of 1 is 0, which makes the score infinite, and nobody scores higher.
            let die = (Double(bits) + 1) * 0x1p-53
            let score = members[index].weight / -log(die)
            if best == nil || score > highest {
                best = index
                highest = score
            }
        }
        return best
    }

    /// Of bytes that a key or an address consists of: FNV-1a, mixed.
    static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return mixed(hash)
    }

    private static func load(_ member: Standing) -> Double {
        Double(member.active + 1) / member.weight
    }

    private static func draw(_ members: [Standing], except: Int?, random: UInt64) -> Int? {
        var total = 0.0
        for index in members.indices where members[index].isCandidate && index != except { total += members[index].weight }
        guard total > 0 else { return nil }
        var rest = Double(random >> 11) * 0x1p-53 * total
        var last: Int?
        for index in members.indices where members[index].isCandidate && index != except {
            rest -= members[index].weight
            if rest < 0 { return index }
            last = index
        }
        return last
    }

    /// The finaliser of SplitMix64: every bit of the input reaches every bit of the output.
    static func mixed(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
