import HTTPSemantics
import NIOCore

/// The two fields that every answer carries about itself.
extension Exchange {
    /// `Cache-Status: headrace; hit; ttl=27`.
    ///
    /// What was forwarded says why (`fwd=`), and whether it is stored now; `detail` is one of our named reasons. `hit` and `fwd`
    /// exclude each other. An answer of the edge's own making (an error before the lookup, a built-in page) has neither.
    /// - Source: RFC 9211 §2.
    func appendCacheStatus(to output: inout ByteBuffer) {
        let word = reason?.word ?? ""
        output.writeText(bytesMax: 128 + word.utf8.count) { output in
            switch cacheResult {
            case .none:
                output.text("Cache-Status: headrace")
            // RFC 9211 §2.2: what is stale has a negative rest of its lifetime.
            case .hit, .servedStale:
                output.text("Cache-Status: headrace; hit; ttl=")
                output.decimal(secondsFresh)
            case .miss:
                output.text("Cache-Status: headrace; fwd=uri-miss")
            case .stale, .revalidated:
                output.text(isForwardedOnRequest ? "Cache-Status: headrace; fwd=request" : "Cache-Status: headrace; fwd=stale")
                if cacheResult == .revalidated { output.text("; fwd-status=304") }
            case .coalesced:
                output.text("Cache-Status: headrace; fwd=uri-miss; collapsed")
            case .bypass:
                if reason == .bypass(.method) {
                    output.text("Cache-Status: headrace; fwd=method")
                } else {
                    output.text("Cache-Status: headrace; fwd=bypass")
                }
            }
            if isStored { output.text("; stored") }
            if !word.isEmpty {
                output.text("; detail=")
                output.string(word)
            }
            output.text("\r\n")
        }
    }

    /// `Server-Timing: edge;dur=13.000, lookup;dur=0.041, connect;dur=0.380, first_byte;dur=12.300`: milliseconds until this head was
    /// written, and the stages that took them (see ``StageTimes``). An answer that took nothing but a look has the first alone.
    /// - Source: W3C Server Timing §2.
    func appendServerTiming(now: NIODeadline, to output: inout ByteBuffer) {
        let isPlain = stages.isPlain
        output.writeText(bytesMax: isPlain ? 64 : 320) { output in
            output.text("Server-Timing: edge;dur=")
            output.milliseconds((now - started).nanoseconds)
            if !isPlain {
                for stage in StageTimes.Stage.allCases {
                    let nanoseconds = stages.nanoseconds(stage, end: now)
                    guard nanoseconds > 0 else { continue }
                    output.text(", ")
                    output.string(stage.rawValue)
                    output.text(";dur=")
                    output.milliseconds(nanoseconds)
                }
            }
            output.text("\r\n")
        }
    }
}
