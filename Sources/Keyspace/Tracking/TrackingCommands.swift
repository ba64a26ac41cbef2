import RESPWire

/// `CLIENT TRACKING`, `CLIENT CACHING`, `CLIENT GETREDIR`, `CLIENT TRACKINGINFO`.
/// - Source: Redis `networking.c`, `clientCommand`; redis.io/commands.
enum TrackingCommands {
    static func tracking(_ call: Call) throws(CommandFailure) {
        let hub = call.keyspace.hub
        // Options are read first, also of an OFF that wants none, as Redis does.
        var options = Tracking.Options()
        var prefixes: [[UInt8]] = []
        var (isBroadcast, isOptIn, isOptOut) = (false, false, false)
        var place = 3
        while place < call.count {
            let isLast = place + 1 == call.count
            switch call.lowercased(place) {
            case "redirect" where !isLast:
                guard options.redirect == nil else { throw .err("A client can only redirect to a single other client") }
                let id = try call.integer(place + 1)
                guard let id = Int(exactly: id), call.keyspace.clients[id] != nil else {
                    throw .err("The client ID you want redirect to does not exist")
                }
                options.redirect = id
                place += 1
            case "prefix" where !isLast:
                prefixes.append(call.bytes(place + 1))
                place += 1
            case "bcast": isBroadcast = true
            case "optin": isOptIn = true
            case "optout": isOptOut = true
            case "noloop": options.skipsOwnChanges = true
            default: throw .syntax
            }
            place += 1
        }
        if call.matches(2, "off") {
            hub.trackingEnded(call.session.id)
            (call.session.isTracking, call.session.prefixBytes) = (false, 0)
            return call.out.ok()
        }
        guard call.matches(2, "on") else { throw .syntax }
        guard isBroadcast || prefixes.isEmpty else { throw .err("PREFIX option requires BCAST mode to be enabled") }
        guard !(isBroadcast && (isOptIn || isOptOut)) else { throw .err("OPTIN and OPTOUT are not compatible with BCAST") }
        guard !(isOptIn && isOptOut) else { throw .err("You can't specify both OPTIN mode and OPTOUT mode") }
        options.mode = isBroadcast ? .broadcast(prefixes: prefixes) : isOptIn ? .optIn : isOptOut ? .optOut : .default
        try hub.trackingBegan(call.session.id, options)
        call.session.isTracking = true
        call.session.prefixBytes = hub.tracking.withLock { $0.prefixBytes(of: call.session.id) }
        call.out.ok()
    }

    static func caching(_ call: Call) throws(CommandFailure) {
        let isYes = call.matches(2, "yes")
        // As in Redis, who does not track is told that whatever the word is.
        let isTracking = call.keyspace.hub.tracking.withLock { $0.options(call.session.id) } != nil
        guard isYes || call.matches(2, "no") || !isTracking else { throw .syntax }
        let refusal = call.keyspace.hub.tracking.withLock { $0.cachingSaid(call.session.id, isYes) }
        if let refusal { throw .text(refusal) }
        call.session.hasSaidCaching = true
        call.out.ok()
    }

    static func redirection(_ call: Call) {
        let options = call.keyspace.hub.tracking.withLock { $0.options(call.session.id) }
        call.out.integer(options.map { $0.redirect ?? 0 } ?? -1)
    }

    static func information(_ call: Call) {
        let (options, caching) = call.keyspace.hub.tracking.withLock { ($0.options(call.session.id), $0.caching(call.session.id)) }
        var flags: [String] = []
        var prefixes: [[UInt8]] = []
        if let options {
            flags.append("on")
            switch options.mode {
            case .default: break
            case .optIn: flags.append("optin")
            case .optOut: flags.append("optout")
            case .broadcast(let all):
                flags.append("bcast")
                prefixes = all
            }
            if let caching { flags.append(caching ? "caching-yes" : "caching-no") }
            if options.skipsOwnChanges { flags.append("noloop") }
            if let redirect = options.redirect, call.keyspace.clients[redirect] == nil { flags.append("broken_redirect") }
        } else {
            flags.append("off")
        }
        call.out.map(3)
        call.out.bulk("flags")
        call.out.set(flags.count)
        for flag in flags { call.out.bulk(flag) }
        call.out.bulk("redirect")
        call.out.integer(options.map { $0.redirect ?? 0 } ?? -1)
        call.out.bulk("prefixes")
        call.out.array(prefixes.count)
        for prefix in prefixes { call.out.bulk(prefix) }
    }
}
