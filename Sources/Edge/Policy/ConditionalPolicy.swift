import HTTPSemantics

/// A client's conditions against a stored representation.
enum ConditionalPolicy {
    /// Tags are compared as the application knows them: a client that holds yesterday's gzip of a response that has not changed
    /// holds the current response, whichever coding it would get today. `If-Match` speaks of exact bytes and is compared with
    /// the tag of the representation itself.
    static func evaluate(_ request: borrowing RequestHead, _ representation: Representation) -> Preconditions.Outcome {
        let response = representation.response
        if request.fields.contains(.ifMatch) {
            return Preconditions.evaluate(
                method: request.method, fields: request.fields, entityTag: representation.entityTag,
                lastModified: response.lastModified)
        }
        if case .tags(let tags)? = EntityTagList(request.fields, .ifNoneMatch) {
            guard let own = response.entityTag else { return .proceed }
            return tags.contains { EntityTagVariants.original(of: $0).weaklyMatches(own) } ? .notModified : .proceed
        }
        return Preconditions.evaluate(
            method: request.method, fields: request.fields, entityTag: response.entityTag, lastModified: response.lastModified)
    }
}
