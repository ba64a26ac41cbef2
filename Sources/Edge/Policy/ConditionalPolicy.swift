import HTTPSemantics

/// A client's conditions against a stored representation.
enum ConditionalPolicy {
    /// Tags are compared as the application knows them: a client that holds yesterday's gzip of a response that has not changed
    /// holds the current response, whichever coding it would get today. `If-Match` speaks of exact bytes and is compared with
    /// the tag of the representation itself.
    static func evaluate(_ request: borrowing RequestHead, _ representation: Representation) -> Preconditions.Outcome {
        let response = representation.response
        // RFC 9110 §13.2.1: conditions are about what would succeed.
        guard (200..<300).contains(response.status) else { return .proceed }
        if request.fields.contains(.ifMatch) {
            return Preconditions.evaluate(
                method: request.method, fields: request.fields, entityTag: representation.entityTag,
                lastModified: response.lastModified)
        }
        return evaluate(request, current: response.entityTag, lastModified: response.lastModified, date: response.date)
    }

    /// - Parameter current: the tag that the response has without a coding of ours.
    static func evaluate(
        _ request: borrowing RequestHead, current: EntityTag?, lastModified: Int64?, date: Int64? = nil
    ) -> Preconditions.Outcome {
        if !request.fields.contains(.ifMatch), case .tags(let tags)? = EntityTagList(request.fields, .ifNoneMatch) {
            guard let current else { return .proceed }
            return tags.contains { EntityTagVariants.original(of: $0).weaklyMatches(current) } ? .notModified : .proceed
        }
        return Preconditions.evaluate(
            method: request.method, fields: request.fields, entityTag: current, lastModified: lastModified, date: date)
    }
}
