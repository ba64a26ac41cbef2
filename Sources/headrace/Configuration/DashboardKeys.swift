import Dashboard
import Edge
import NIOCore

/// The dashboard and the pages about health, which the edge serves.
struct DashboardSettings: Sendable, Equatable {
    /// Where samples are kept over restarts, and runs looked for; `nil` keeps samples in memory.
    var state: String?
    var objectiveP95 = TimeAmount.milliseconds(300)
    var objectiveAvailability = 0.995
    var price: MoneyPerGigabyte?

    func options(path: String?) -> Dashboard.Options {
        var options = Dashboard.Options()
        if let path { options.path = path }
        options.objectiveP95 = Double(objectiveP95.nanoseconds) / 1e9
        options.objectiveAvailability = objectiveAvailability
        options.pricePerGigabyte = price?.amount
        if let price { options.currency = price.currency }
        return options
    }
}

/// What a gigabyte (10⁹ bytes) costs.
struct MoneyPerGigabyte: Sendable, Equatable {
    var amount: Double
    /// ISO 4217.
    var currency: String
}

enum DashboardKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "dashboard.access", \.edge.pages.access, .pageAccess,
            """
            Who sees the dashboard and the pages about health: local is this machine and whoever sends edge.metrics_token (Authorization: \
            Bearer …), and for others the paths are the application's; public is everybody, without what names addresses, paths, statements \
            and users.
            """),
        .init("dashboard.path", \.edge.pages.dashboard, .optional(.urlPath, off: "off"), "The page; its documents lie below it."),
        .init(
            "dashboard.alive_path", \.edge.pages.alive, .optional(.urlPath, off: "off"),
            "Answers 200 as long as the process serves, 503 while it drains."),
        .init(
            "dashboard.ready_path", \.edge.pages.ready, .optional(.urlPath, off: "off"),
            "Answers 200 when every service can be used, else 503, with each one's state in JSON; /NAME behind it asks for one."),
        .init(
            "dashboard.state", \.dashboard.state, .optional(.text("folder")),
            """
            Where the numbers are kept, so that they outlive the process, and where runs are looked for (history.sqlite, as \
            headrace bench --history writes it). Without it numbers are kept in memory.
            """),
        .init(
            "dashboard.objective_time", \.dashboard.objectiveP95, .duration(.milliseconds(1)...(.hours(1))),
            "95 of 100 requests should take no longer: the line in the chart."),
        .init(
            "dashboard.objective_availability", \.dashboard.objectiveAvailability, .share,
            "The share of requests that should not fail (5xx): what the error budget is reckoned by."),
        .init(
            "dashboard.traffic_price", \.dashboard.price, .optional(.moneyPerGigabyte),
            "What a gigabyte of traffic costs: what is not sent is shown as money, too."),
    ]
}

extension ValueFormat where Value == EdgeConfiguration.Pages.Access {
    static var pageAccess: Self {
        let word = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .local }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == MoneyPerGigabyte {
    static var moneyPerGigabyte: Self {
        Self(
            "price", units: "0.08EUR",
            parse: { word in
                let (digits, letters) = (word.prefix { !$0.isLetter }, word.drop { !$0.isLetter })
                guard let amount = Double(digits.filter { $0 != " " }), amount >= 0, amount <= 1000, letters.count == 3,
                    letters.allSatisfy({ $0.isASCII && $0.isUppercase })
                else { throw ValueProblem("\"\(word)\" is no price such as 0.08EUR, and 1000 at most") }
                return MoneyPerGigabyte(amount: amount, currency: String(letters))
            }, render: { "\($0.amount)\($0.currency)" })
    }
}
