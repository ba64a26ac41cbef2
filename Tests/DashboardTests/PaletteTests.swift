import Foundation
import Testing

@testable import Dashboard

/// The colours of the charts, as they are seen by those who lack one of three kinds of cones.
///
/// How it works: 1. Colours and the order of each stack are read off the page itself. 2. They are changed into what is seen without red, green
/// or blue cones. 3. Two that touch must differ in OKLab by four times what is just seen.
@Suite struct PaletteTests {
    private static let page = String(decoding: DashboardPage.rendered(path: "/p").bytes, as: UTF8.self)

    /// By rows, on linear RGB.
    /// - Source: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1.
    private static let visions: [(name: String, matrix: [[Double]])] = [
        ("all three", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("no red", [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        ("no green", [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
        ("no blue", [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
    ]
    /// In OKLab, where the lightness goes from 0 to 1; 0.02 is just seen.
    private static let distanceMin = 0.08

    private func linear(_ color: String) -> [Double] {
        stride(from: 0, to: 6, by: 2).map { place in
            let digits = color.dropFirst(place).prefix(2)
            let value = Double(UInt8(digits, radix: 16) ?? 0) / 255
            return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
        }
    }

    private func product(_ matrix: [[Double]], _ vector: [Double]) -> [Double] { matrix.map { row in zip(row, vector).reduce(0) { $0 + $1.0 * $1.1 } } }

    /// - Source: Björn Ottosson, "A perceptual color space for image processing".
    private func oklab(_ rgb: [Double]) -> [Double] {
        let cones = product(
            [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
            rgb.map { min(max($0, 0), 1) })
        return product(
            [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]],
            cones.map { cbrt($0) })
    }

    /// `c0` to `c7` and `card`, in the light and in the dark; `h0` and `h1`, between which the heatmap's fields are.
    private func palettes(_ names: String = "c[0-7]|card") throws -> [(name: String, colors: [String: String])] {
        let styles = try #require(Self.page.firstMatch(of: /<style[^>]*>(.*?)<\/style>/.dotMatchesNewlines()).map { String($0.1) })
        let wanted = try Regex(names)
        let roots = styles.matches(of: /:root\{([^}]*)\}/).map { String($0.1) }
        try #require(roots.count == 2)
        return zip(["light", "dark"], roots).map { name, text in
            let colors = text.matches(of: /--([a-z]+[0-9]?):#([0-9a-f]{3,6})\b/).filter { $0.1.wholeMatch(of: wanted) != nil }.map { match in
                (String(match.1), match.2.count == 3 ? match.2.map { "\($0)\($0)" }.joined() : String(match.2))
            }
            return (name, Dictionary(colors) { first, _ in first })
        }
    }

    /// Colours of each stacked chart, from the bottom.
    private func stacks() -> [(chart: String, colors: [String])] {
        Self.page.components(separatedBy: "over(\"").dropFirst().compactMap { text in
            guard text.contains(", \"area\", ") else { return nil }
            return (String(text.prefix { $0 != "\"" }), text.matches(of: /C\(([0-7])\)/).map { "c\($0.1)" })
        }
    }

    @Test func `colours that touch are told apart with any two kinds of cones, in the light and in the dark`() throws {
        let stacks = stacks()
        #expect(stacks.map(\.chart) == ["requests", "stages", "sql", "cache", "saved", "keyspace"])
        for (palette, colors) in try palettes() {
            for (chart, order) in stacks {
                #expect(order.count >= 3 && Set(order).count == order.count, "\(chart): \(order)")
                for (below, above) in zip(order, order.dropFirst()) {
                    let (first, second) = (linear(try #require(colors[below])), linear(try #require(colors[above])))
                    for vision in Self.visions {
                        let (a, b) = (oklab(product(vision.matrix, first)), oklab(product(vision.matrix, second)))
                        let distance = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
                        #expect(distance >= Self.distanceMin, "\(palette), \(chart), \(below) and \(above) with \(vision.name): \(distance)")
                    }
                }
            }
        }
    }

    /// - Source: W3C, WCAG 2.1, 1.4.11, and the definition of "contrast ratio".
    @Test func `each colour keeps three to one to what it is drawn on, fields of one request too`() throws {
        func luminance(_ color: String) -> Double { zip(linear(color), [0.2126, 0.7152, 0.0722]).reduce(0) { $0 + $1.0 * $1.1 } }
        for (palette, colors) in try palettes("c[0-7]|card|h[01]") {
            #expect(colors.count == 11)
            let ground = luminance(try #require(colors["card"]))
            for (name, color) in colors where name != "card" {
                let pair = [luminance(color), ground].sorted()
                #expect((pair[1] + 0.05) / (pair[0] + 0.05) >= 3, "\(palette): \(name) \(color)")
            }
        }
    }
}
