/// The page: one document with its style and its script inside. It asks for nothing but the dashboard's own documents.
///
/// Everything that it shows goes into the document as text, never as markup; charts are drawn as SVG elements by hand.
enum DashboardPage {
    /// - Parameter path: of the dashboard, as configured.
    /// - Returns: the bytes, and what `Content-Security-Policy` says of them: each answer has a number used once, by which the one style
    ///   and the one script that are ours are told from whatever else may have got in.
    /// - Source: W3C, "Content Security Policy Level 3", §2.3.1.
    static func rendered(path: String) -> (bytes: [UInt8], policy: String) {
        let nonce = String(UInt64.random(in: .min ... .max), radix: 16) + String(UInt64.random(in: .min ... .max), radix: 16)
        let policy =
            "default-src 'none'; style-src 'nonce-\(nonce)'; script-src 'nonce-\(nonce)'; connect-src 'self'; img-src data:; base-uri 'none'; "
            + "form-action 'none'; frame-ancestors 'none'"
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64 << 10)
        func put(_ text: StaticString) { text.withUTF8Buffer { bytes.append(contentsOf: $0) } }
        func put(_ text: String) { bytes.append(contentsOf: text.utf8) }
        put(head)
        put("<meta name=\"base\" content=\"\(attribute(path))\">\n<style nonce=\"\(nonce)\">")
        put(style)
        put("</style>\n")
        put(body)
        put("<script nonce=\"\(nonce)\">")
        put(script)
        put("</script>\n</html>\n")
        return (bytes, policy)
    }

    /// The path stands in the configuration, and in quotes here.
    private static func attribute(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case "\"": result += "&quot;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static let head: StaticString = #"""
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Performance · Headrace</title>
        <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 5q3.5-3 7 0t7 0M1 11q3.5-3 7 0t7 0' fill='none' stroke='%230072b2' stroke-width='2.5'/%3E%3C/svg%3E">

        """#

    private static let body: StaticString = #"""
        <a class="skip" href="#charts">Skip to the charts</a>
        <header>
        <h1><svg viewBox="0 0 32 20" aria-hidden="true"><path d="M2 6q7-6 14 0t14 0"/><path d="M2 14q7-6 14 0t14 0"/></svg>Headrace <small>performance</small></h1>
        <nav aria-label="Time range" id="ranges"></nav>
        <p class="live"><span id="dot" class="dot unknown"></span><span id="live" role="status">connecting</span></p>
        </header>
        <main>
        <section class="verdict" aria-live="off"><p id="verdict">Waiting for the first second …</p><ul id="tiles"></ul></section>
        <section aria-labelledby="layers-title"><h2 id="layers-title">What each layer does</h2>
        <p class="note">State and share of the last minute; worth as <code>headrace prove</code> measured it; cost in cores and memory. What was not measured says so.</p>
        <ol id="layers"></ol></section>
        <div id="charts"></div>
        <div id="tables"></div>
        </main>
        <footer><p id="footer"></p></footer>
        <noscript><p>The charts need a script of this page. The same figures: latest.json, below this address.</p></noscript>

        """#

    /// The eight colours of the charts keep 3:1 to what they are drawn on; those that lie on each other in a stack are told apart by who sees
    /// no red, no green or no blue, too (`PaletteTests`). They differ in lightness for that, and not in hue alone.
    private static let style: StaticString = #"""
        :root{color-scheme:light dark;--bg:#f6f8fa;--card:#fff;--ink:#15202b;--soft:#52606d;--line:#dde3e9;--grid:#e8edf1;--focus:#0072b2;
        --c0:#0072b2;--c1:#c67519;--c2:#0e633a;--c3:#8d4392;--c4:#b23d32;--c5:#85919a;--c6:#9671f7;--c7:#a2900e;--good:#00795a;--bad:#c0392b;--warn:#b35900;--h0:#6295bd;--h1:#002744}
        @media screen and (prefers-color-scheme:dark){:root{--bg:#0e1318;--card:#161d24;--ink:#e6edf3;--soft:#9fb0bf;--line:#2a343e;--grid:#222c35;--focus:#56b4e9;
        --c0:#56b4e9;--c1:#f3a147;--c2:#85f4dc;--c3:#9f5891;--c4:#e0422f;--c5:#d4dde6;--c6:#5f70ef;--c7:#e4ce4a;--good:#3ecf9f;--bad:#ff7b6b;--warn:#f0a23c;--h0:#33709b;--h1:#d9f0ff}}
        *{box-sizing:border-box}html{-webkit-text-size-adjust:100%}
        body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
        header{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;align-items:center;padding:.8rem clamp(.8rem,3vw,2rem);background:var(--card);border-bottom:1px solid var(--line);position:sticky;top:0;z-index:5}
        h1{font-size:1.15rem;margin:0;display:flex;align-items:center;gap:.5rem;letter-spacing:-.01em}h1 small{font-weight:400;color:var(--soft);font-size:.95rem}
        h1 svg{width:30px;height:20px;fill:none;stroke:var(--c0);stroke-width:3;stroke-linecap:round}
        nav{display:flex;gap:.15rem;flex-wrap:wrap}nav a{padding:.25rem .55rem;border-radius:6px;color:var(--soft);text-decoration:none}
        nav a:hover{background:var(--grid);color:var(--ink)}nav a[aria-current]{background:var(--c0);color:var(--card);font-weight:600}
        .live{margin:0 0 0 auto;color:var(--soft);font-size:.9rem;white-space:nowrap}
        .dot{display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.45em;background:var(--c5)}
        .dot.up,.dot.on{background:var(--good)}.dot.down{background:var(--bad);border-radius:1px}.dot.idle{background:none;border:2px solid var(--warn)}.dot.off,.dot.unknown{background:none;border:2px solid var(--c5)}
        main{padding:1rem clamp(.8rem,3vw,2rem) 2rem;max-width:1680px;margin:auto}
        h2{font-size:1.05rem;margin:1.6rem 0 .3rem}h3{font-size:.95rem;margin:0;font-weight:600}
        .note{color:var(--soft);margin:.1rem 0 .7rem;font-size:.88rem}
        .verdict>p{font-size:clamp(1.05rem,2.2vw,1.4rem);line-height:1.35;margin:.4rem 0 .9rem;max-width:60em;letter-spacing:-.01em}
        #tiles{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(auto-fit,minmax(122px,1fr));gap:.6rem}
        #tiles li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.6rem .55rem .6rem .65rem;display:flex;flex-direction:column}
        #tiles b{display:block;font-size:1.2rem;font-weight:650;letter-spacing:-.03em;line-height:1.25;white-space:nowrap}#tiles span{color:var(--soft);font-size:.82rem}
        #tiles svg{display:block;width:100%;height:26px;padding-top:4px;margin-top:auto}
        #layers{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(8,minmax(0,1fr));gap:0 .5rem}
        @media(max-width:1250px){#layers{grid-template-columns:repeat(4,minmax(0,1fr))}}@media(max-width:640px){#layers{grid-template-columns:repeat(2,minmax(0,1fr))}}
        #layers li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.65rem .7rem;border-top:3px solid var(--c5);min-width:0;display:grid;grid:subgrid/1fr;grid-row:span 8;align-content:start}
        #layers li.on{border-top-color:var(--good)}#layers li.idle{border-top-color:var(--warn)}
        #layers p{margin:.25rem 0 0;font-size:.82rem;color:var(--soft);overflow-wrap:anywhere}#layers .big{font-size:1.5rem;font-weight:650;color:var(--ink);line-height:1.15;letter-spacing:-.02em}
        #layers h3{font-size:.88rem;letter-spacing:-.02em}#layers .of{grid-row:5}#layers .worth{color:var(--ink);grid-row:6}#layers .worth span{white-space:nowrap}#layers .held{grid-row:7}#layers .cost{grid-row:8}#layers .state{white-space:nowrap}
        .bar{height:5px;border-radius:3px;background:var(--grid);margin-top:.3rem;overflow:hidden}.bar i{display:block;height:100%;background:var(--c0);width:0}
        #charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:0 .8rem;margin-top:1.2rem}#charts .card,#layers li{margin-bottom:.8rem}
        #charts .card{display:grid;grid:subgrid/1fr;grid-row:span 5}#charts .card>div{display:contents}.card .legend,.card>div>.note{grid-row:3}.card .plot,#charts .empty{grid-row:4}#charts .empty{display:grid;place-content:center}.card details{grid-row:5}
        .card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:.8rem .9rem .6rem;min-width:0}
        .card>p.note{margin:.1rem 0 .35rem}.legend{list-style:none;display:flex;flex-wrap:wrap;align-content:start;gap:.1rem .9rem;margin:.2rem 0 .1rem;padding:0;font-size:.82rem;color:var(--soft)}
        .legend b{color:var(--ink);font-weight:600}.legend svg{width:18px;height:8px;margin-right:.35em;vertical-align:1px}
        .plot{position:relative}.plot>svg{display:block;width:100%;height:190px;touch-action:pan-y}.plot>svg:focus-visible,a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--focus);outline-offset:2px;border-radius:4px}
        .plot text{font-size:11px;fill:var(--soft);paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}.plot .name{fill:var(--ink);font-size:12px}
        .tip{position:absolute;top:0;pointer-events:none;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.35rem .55rem;font-size:.8rem;box-shadow:0 4px 14px #0002;white-space:nowrap;z-index:2}
        .tip b{font-weight:600}.empty{color:var(--soft);margin:.4rem 0 .8rem;padding:1.4rem .8rem;border:1px dashed var(--line);border-radius:8px;text-align:center;font-size:.9rem}
        .empty code,.note code{font-size:.92em}details{font-size:.82rem;color:var(--soft);margin-top:.25rem}summary{cursor:pointer;width:max-content}
        .scroll{overflow:auto;max-height:24rem}table{border-collapse:collapse;width:100%;font-size:.84rem}
        th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--grid);vertical-align:top}th{font-weight:600;color:var(--soft);white-space:nowrap}
        td.n,th.n{text-align:right;white-space:nowrap}td.t{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.8rem;overflow-wrap:anywhere;unicode-bidi:isolate;min-width:12rem}
        td.t div{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:6;overflow:hidden}
        td .hint{display:block;white-space:pre-line;font-family:system-ui,sans-serif;color:var(--warn)}
        #tables{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,560px),1fr));gap:.8rem;margin-top:.8rem}
        footer{padding:0 clamp(.8rem,3vw,2rem) 2rem;color:var(--soft);font-size:.85rem;max-width:1680px;margin:auto}footer a{color:var(--focus)}
        .skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:.5rem;z-index:9;background:var(--card);padding:.3rem .6rem}
        @media(max-width:640px){header{position:static}.live{margin:0}}
        @media(prefers-reduced-motion:no-preference){.bar i{transition:width .5s}}
        @media print{header{position:static}nav,.skip,details{display:none}body{background:#fff}.card,#layers li,#tiles li{break-inside:avoid}}
        """#
}
