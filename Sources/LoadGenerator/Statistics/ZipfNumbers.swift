#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Draws ranks 1…n so that rank k comes with a probability in proportion to 1/k^exponent: how often web pages and cache keys are asked
/// for. By rejection-inversion: no table, whatever n is.
/// - Source: Hörmann, Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS 6 (1996).
struct ZipfNumbers {
    private let count: Double
    private let exponent: Double
    private let integralAtOne: Double
    private let integralAtEnd: Double
    private let threshold: Double

    /// - Precondition: count is at least 1, and the exponent above 0.
    init(count: Int, exponent: Double) {
        precondition(count >= 1 && exponent > 0, "no distribution")
        self.count = Double(count)
        self.exponent = exponent
        integralAtOne = Self.integral(1.5, exponent) - 1
        integralAtEnd = Self.integral(Double(count) + 0.5, exponent)
        threshold = 2 - Self.inverse(Self.integral(2.5, exponent) - Self.density(2, exponent), exponent)
    }

    func draw(_ numbers: inout SeededNumbers) -> Int {
        while true {
            let position = integralAtEnd + numbers.unit() * (integralAtOne - integralAtEnd)
            let place = Self.inverse(position, exponent)
            let rank = min(max(place.rounded(), 1), count)
            if rank - place <= threshold || position >= Self.integral(rank + 0.5, exponent) - Self.density(rank, exponent) { return Int(rank) }
        }
    }

    private static func density(_ x: Double, _ exponent: Double) -> Double { exp(-exponent * log(x)) }

    /// ∫ x^−exponent, zero at 1.
    private static func integral(_ x: Double, _ exponent: Double) -> Double {
        let logarithm = log(x)
        return quotient((1 - exponent) * logarithm) * logarithm
    }

    private static func inverse(_ y: Double, _ exponent: Double) -> Double {
        let scaled = max(y * (1 - exponent), -1)
        return exp(logQuotient(scaled) * y)
    }

    /// (eˣ − 1)/x, also near 0.
    private static func quotient(_ x: Double) -> Double { abs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2 * (1 + x / 3) }
    /// log(1 + x)/x, also near 0.
    private static func logQuotient(_ x: Double) -> Double { abs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x / 3) }
}
