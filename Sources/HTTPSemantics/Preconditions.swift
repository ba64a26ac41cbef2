/// What a client's conditions mean for a representation that we have.
/// - Source: RFC 9110 §13.2.2, in its order of precedence.
public enum Preconditions {
    public enum Outcome: Equatable, Sendable {
        case proceed
        /// 304.
        case notModified
        /// 412.
        case failed
    }

    /// - Parameters:
    ///   - entityTag: of the representation; `nil` when it has none.
    ///   - lastModified: Unix seconds.
    ///   - date: Unix seconds; when a representation without `Last-Modified` was made: what `If-Modified-Since` is compared with then
    ///     (RFC 9111 §4.3.2).
    public static func evaluate(
        method: Method, fields: FieldSection, entityTag: EntityTag?, lastModified: Int64?, date: Int64? = nil
    ) -> Outcome {
        if let list = EntityTagList(fields, .ifMatch) {
            switch list {
            case .any: break
            case .tags: guard let entityTag, list.stronglyContains(entityTag) else { return .failed }
            }
        } else if let limit = Self.date(fields, .ifUnmodifiedSince), let lastModified, lastModified > limit {
            return .failed
        }
        let isRead = method == .get || method == .head
        if let list = EntityTagList(fields, .ifNoneMatch) {
            let matches =
                switch list {
                case .any: true
                case .tags: entityTag.map(list.weaklyContains) ?? false
                }
            return matches ? (isRead ? .notModified : .failed) : .proceed
        }
        if isRead, let limit = Self.date(fields, .ifModifiedSince), let made = lastModified ?? date, made <= limit { return .notModified }
        return .proceed
    }

    /// A condition that is no date, or repeated, is ignored (RFC 9110 §13.1.3).
    private static func date(_ fields: FieldSection, _ name: FieldName) -> Int64? {
        guard fields.count(of: name) == 1, let index = fields.firstIndex(of: name) else { return nil }
        return HTTPDate.parse(fields.value(at: index))
    }
}
