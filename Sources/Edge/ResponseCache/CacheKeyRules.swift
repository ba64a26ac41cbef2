/// What of a request is in the key of the response cache, besides host, path and query as they were sent.
///
/// Whatever is taken out of the target here is taken out of what the application is asked, too: no stored answer was ever made with
/// something that is not in its key.
public struct CacheKeyRules: Sendable, Equatable {
    /// Parameters, header fields or cookies of one route.
    public static let namesMax = 64

    /// Parameters in the order of their names; those of the same name stay as they are.
    public var sortsQuery = false
    /// Parameters that do not count, as patterns: `fbclid`, `utm_*`.
    public var ignoredParameters: [String] = []
    /// The only parameters that count; all, when empty.
    public var selectedParameters: [String] = []
    /// Header fields that count.
    public var fields: [String] = []
    /// Cookies that count.
    public var cookies: [String] = []
    /// Whether it is a phone, a tablet, a robot or something else; see ``DeviceClass``.
    public var hasDeviceClass = false
    /// The languages that the application has, the one for everybody else first; which of them suits the client best counts, however
    /// `Accept-Language` is spelled.
    public var languages: [String] = []
    /// `%7e` is `~`, and `%2f` is `%2F`.
    /// - Source: RFC 3986 §6.2.2.
    public var normalisesPath = false

    public init() {}

    public var isEmpty: Bool { self == CacheKeyRules() }
}
