import HTTP1Wire
import HTTPSemantics
import NIOCore

/// What the application is sent for a client's request.
///
/// The client's fields pass in their order and spelling, but for: hop-by-hop fields and what `Connection` names;
/// `Expect`, which the edge answers itself; the forwarding fields, which say what the edge saw and what it
/// believes (``ForwardedFields``), and those that only a trusted proxy may say; the trace, which gets this hop's span; and, where the response
/// may be stored or compressed, the conditions and codings, which the edge sees to itself.
/// - Source: RFC 9110 §7.6; W3C Trace Context §3.
struct UpstreamRequest {
    /// Which conditions the request carries.
    enum Conditions {
        /// The client's own.
        case asSent
        /// None: the whole response is wanted, for all who ask.
        case none
        /// The client's range, and whether it is for that very version: the part is wanted, for all who ask.
        case part
        /// Those of a stored response: is it still current?
        case revalidate(EntityTag?, lastModified: Int64?)
    }

    var conditions = Conditions.asSent
    /// Ask for the plain response: we compress ourselves, once, and a single variant serves all clients.
    var wantsIdentity = true
    /// The body's framing on this connection.
    var framing = BodyFraming.none
    /// Replaces the target by what is in the key of the response cache; `nil` passes the client's on.
    var target: [UInt8]?
    /// See ``RouteConfiguration/strippedPrefix``.
    var strippedPrefix = PathPrefix(nil)
    /// Set when the answer may be stored: fields that would change it and are not in its key go no further.
    var keying: CacheKeying?
    /// Replaces `Host`; `nil` passes the client's on.
    var host: String?
    /// What the route changes about all of this.
    var rules: HeaderRuleSet?
    /// What the server that was asked for its word gives the application.
    var authorizedRules: HeaderRuleSet?
    /// Passes the client's wish for another protocol on; see ``UpgradePolicy``.
    var offersUpgrade = false
    /// Asks whether the body is wanted, because the client asks.
    /// - Source: RFC 9110 §10.1.1.
    var expectsContinue = false

    private static let forwardedPrefix = Array("x-forwarded-prefix".utf8)

    private func write(_ target: Span<UInt8>, into output: inout ByteBuffer) {
        if strippedPrefix.isAll(of: target) { output.writeInteger(UInt8(ascii: "/")) }
        output.writeBytes(target.extracting(strippedPrefix.count(in: target)..<target.count).bytes)
    }

    func write(
        _ request: borrowing RequestHead, client: ClientIdentity, trace: TraceParent, into output: inout ByteBuffer
    ) {
        let fields = request.fields
        let start = output.readableBytes
        output.writeBytes(fields.bytes.span.extracting(request.methodRange).bytes)
        output.writeInteger(UInt8(ascii: " "))
        if let target { write(target.span, into: &output) } else { write(fields.bytes.span.extracting(request.target), into: &output) }
        output.writeStaticString(" HTTP/1.1\r\n")

        var client = client
        var authority: [UInt8]?
        if keying != nil {
            // As it is in the key: who writes `A.example:80` would have all others read that in the links of a stored page.
            authority = CacheKeying.normalised(fields.bytes.span.extracting(request.authority), isSecure: client.isSecure)
            client.host = client.host.map { CacheKeying.normalised($0.span, isSecure: client.isSecure) }
        }
        output.writeStaticString("Host: ")
        if let host {
            output.writeString(host)
        } else if let authority {
            output.writeBytes(authority)
        } else {
            output.writeBytes(fields.bytes.span.extracting(request.authority).bytes)
        }
        output.writeStaticString("\r\n")

        let connection = ConnectionOptions(fields)
        let hopsLeft = fields.contains(.maxForwards) ? MaxForwards.hopsLeft(request) : nil
        output.writeFieldLines(of: fields) { index in
            let name = fields.lines[index].name
            if !passes(name) || hopsLeft != nil && name == .maxForwards { return false }
            if !connection.isEmpty, connection.names(fields.name(at: index)) { return false }
            if name == .other {
                let spelled = fields.name(at: index)
                if ForwardedFields.isImitated(by: spelled) || !client.isPeerTrusted && ForwardedFields.isSaidByProxies(spelled) { return false }
                if !strippedPrefix.isEmpty, AmbiguousFields.isSame(spelled, Self.forwardedPrefix, anyHyphen: true) { return false }
                if rules?.isImitated(by: spelled) ?? false || authorizedRules?.isImitated(by: spelled) ?? false { return false }
            }
            return keying?.passes(name, fields.name(at: index)) ?? true
        }
        if !strippedPrefix.isEmpty, strippedPrefix.count(in: fields.bytes.span.extracting(request.target)) > 0 {
            output.writeStaticString("X-Forwarded-Prefix: ")
            output.writeBytes(strippedPrefix.bytes)
            output.writeStaticString("\r\n")
        }
        if let keying, keying.rules?.hasDeviceClass ?? false {
            output.writeString("X-Device-Class: \(DeviceClass(fields).rawValue)\r\n")
        }
        if let language = keying?.language(fields) {
            output.writeStaticString("Accept-Language: ")
            output.writeBytes(language)
            output.writeStaticString("\r\n")
        }
        if case .asSent = conditions {
            // Written here and not among the others, since their tags may be those of our codings.
            for name in [FieldName.ifMatch, .ifNoneMatch] {
                if let value = EntityTagVariants.originals(fields, name) {
                    output.writeField(name, value.span)
                } else {
                    for index in fields.lines.indices where fields.lines[index].name == name {
                        output.writeFieldLine(of: fields, at: index)
                    }
                }
            }
        }

        switch framing {
        case .none, .untilClose: break
        case .length(let count): output.writeField(.contentLength, count)
        case .chunked: output.writeStaticString("Transfer-Encoding: chunked\r\n")
        }
        let takesTrailers = fields.contains(.te) && (request.majorVersion == 2 || connection.names(Self.te.span)) && Self.takesTrailers(fields)
        if takesTrailers { output.writeStaticString("TE: trailers\r\n") }
        if takesTrailers, !offersUpgrade { output.writeStaticString("Connection: TE\r\n") }
        if let hopsLeft { output.writeField(.maxForwards, max(0, hopsLeft - 1)) }
        if offersUpgrade {
            output.writeStaticString(takesTrailers ? "Connection: Upgrade, TE\r\n" : "Connection: Upgrade\r\n")
            for index in fields.lines.indices where fields.lines[index].name == .upgrade { output.writeFieldLine(of: fields, at: index) }
        }
        if expectsContinue { output.writeStaticString("Expect: 100-continue\r\n") }
        if wantsIdentity { output.writeStaticString("Accept-Encoding: identity\r\n") }
        if case .revalidate(let entityTag, let lastModified) = conditions {
            var value: [UInt8] = []
            if let entityTag {
                entityTag.append(to: &value)
                output.writeField(.ifNoneMatch, value.span)
                value.removeAll()
            }
            if let lastModified {
                HTTPDate.append(lastModified, to: &value)
                output.writeField(.ifModifiedSince, value.span)
            }
        }
        if let authority {
            ForwardedFields.write(client, authority: authority.span, into: &output)
        } else {
            ForwardedFields.write(client, authority: fields.bytes.span.extracting(request.authority), into: &output)
        }
        // 128: the names and the trace are 95 bytes.
        output.writeText(bytesMax: 128) { output in
            output.text(request.majorVersion == 2 ? "Via: 2.0 headrace\r\n" : request.minorVersion == 0 ? "Via: 1.0 headrace\r\n" : "Via: 1.1 headrace\r\n")
            output.text("traceparent: 00-")
            output.hexadecimal(trace.traceID.0)
            output.hexadecimal(trace.traceID.1)
            output.text("-")
            output.hexadecimal(trace.parentID)
            output.text("-")
            output.hexadecimal(trace.flags)
            output.text("\r\n")
        }
        authorizedRules?.apply(to: &output, from: start)
        rules?.apply(to: &output, from: start)
        output.writeStaticString("\r\n")
    }

    private static let te = Array("te".utf8)

    /// Whether the client reads trailers: the application sends some to nobody else (RFC 9110 §6.5.1, §10.1.4).
    private static func takesTrailers(_ fields: FieldSection) -> Bool {
        fields.lines.indices.contains { index in
            fields.lines[index].name == .te
                && String(copying: fields.value(at: index)).split(separator: ",").contains {
                    $0.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }.lowercased() == "trailers"
                }
        }
    }

    private func passes(_ name: FieldName) -> Bool {
        switch name {
        case .host, .contentLength, .expect, .traceparent, .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto,
            .xRealIP:
            return false
        case .acceptEncoding:
            return !wantsIdentity
        case .trailer:
            // What it promises comes behind the last chunk (RFC 9110 §6.6.2).
            return framing == .chunked
        case .ifNoneMatch, .ifMatch:
            return false
        case .ifModifiedSince, .ifUnmodifiedSince:
            if case .asSent = conditions { return true }
            return false
        case .range, .ifRange:
            return switch conditions {
            case .asSent, .part: true
            case .none, .revalidate: false
            }
        default:
            return !name.isHopByHop
        }
    }
}
