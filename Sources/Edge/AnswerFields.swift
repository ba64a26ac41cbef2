import HTTPSemantics
import NIOCore

/// The two fields that every answer carries about itself.
extension Exchange {
    /// `Cache-Status: headrace; hit; ttl=27`.
    ///
    /// What was forwarded says why (`fwd=`), and whether it is stored now; `detail` is one of our named reasons. `hit` and `fwd`
    /// exclude each other. An answer of the edge's own making (an error before the lookup, a built-in page) has none.
    /// - Source: RFC 9211 §2.
    func appendCacheStatus(to output: inout ByteBuffer) {
        switch cacheResult {
        case .none:
            return
        case .hit:
            output.writeStaticString("Cache-Status: headrace; hit; ttl=")
            output.writeDecimal(secondsFresh)
        case .miss:
            output.writeStaticString("Cache-Status: headrace; fwd=uri-miss")
        case .stale, .revalidated:
            output.writeStaticString(isForwardedOnRequest ? "Cache-Status: headrace; fwd=request" : "Cache-Status: headrace; fwd=stale")
            if cacheResult == .revalidated { output.writeStaticString("; fwd-status=304") }
        case .coalesced:
            output.writeStaticString("Cache-Status: headrace; fwd=uri-miss; collapsed")
        case .bypass:
            if detail == SharedCachePolicy.BypassReason.method.rawValue {
                output.writeStaticString("Cache-Status: headrace; fwd=method")
            } else {
                output.writeStaticString("Cache-Status: headrace; fwd=bypass")
            }
        }
        if isStored { output.writeStaticString("; stored") }
        if !detail.isEmpty {
            output.writeStaticString("; detail=")
            output.writeString(detail)
        }
        output.writeStaticString("\r\n")
    }

    /// `Server-Timing: edge;dur=0.021, app;dur=12.300`: milliseconds until this head was written, and those of the
    /// application in them.
    /// - Source: W3C Server Timing §2.
    func appendServerTiming(now: NIODeadline, to output: inout ByteBuffer) {
        output.writeStaticString("Server-Timing: edge;dur=")
        output.writeMilliseconds((now - started).nanoseconds)
        if upstreamNanoseconds > 0 {
            output.writeStaticString(", app;dur=")
            output.writeMilliseconds(upstreamNanoseconds)
        }
        output.writeStaticString("\r\n")
    }
}
