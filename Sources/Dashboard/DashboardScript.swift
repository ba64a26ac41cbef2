extension DashboardPage {
    /// Reads `latest.json` and `api/series`, listens to `events` while the tab is seen, and draws. No text of anybody's becomes markup:
    /// `textContent` and attributes alone, and no `innerHTML` anywhere.
    static let script: StaticString = #"""
        "use strict";
        (() => {
        const base = document.querySelector("meta[name=base]").content;
        const ranges = {"5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "15d": 1296000};
        const query = new URLSearchParams(location.search);
        let range = ranges[query.get("range")] ? query.get("range") : "5m";
        const until = Number(query.get("to")) || 0, refresh = Number(query.get("refresh")) || 0;
        let latest = null, model = null, events = null, loading = false, loadedAt = 0, latestAt = 0, lastEvent = 0;
        const $ = id => document.getElementById(id);
        const NS = "http://www.w3.org/2000/svg";
        function el(name, props, ...kids) { const e = document.createElement(name); return dress(e, props, kids); }
        function svg(name, props, ...kids) { return dress(document.createElementNS(NS, name), props, kids); }
        function dress(e, props, kids) {
          for (const [k, v] of Object.entries(props || {})) if (v !== null && v !== undefined && v !== false) k === "text" ? e.textContent = v : e.setAttribute(k, v);
          for (const k of kids) if (k !== null && k !== undefined) e.append(k);
          return e;
        }

        // Numbers as people read them
        const known = v => v !== null && v !== undefined && isFinite(v);
        function num(v) {
          if (!known(v)) return "–";
          const a = Math.abs(v);
          const short = (v, digits) => String(+v.toFixed(digits));
          if (a >= 1e9) return short(v / 1e9, a >= 1e10 ? 0 : 1) + " G";
          if (a >= 1e6) return short(v / 1e6, a >= 1e7 ? 0 : 1) + " M";
          if (a >= 1e4) return short(v / 1e3, a >= 1e5 ? 0 : 1) + " k";
          return a >= 100 ? short(v, 0) : a >= 10 ? short(v, 1) : a >= 0.1 ? short(v, 2) : String(+v.toPrecision(2));
        }
        function bytes(v) {
          if (!known(v)) return "–";
          const u = ["B", "KB", "MB", "GB", "TB"]; let i = 0; v = Math.max(0, v);
          while (v >= 1000 && i < 4) { v /= 1024; i++; }
          return (i === 0 || v >= 100 ? Math.round(v) : +v.toFixed(1)) + " " + u[i];
        }
        const ms = v => !known(v) ? "–" : v === 0 ? "0" : v >= 1000 ? num(v / 1000) + " s" : v >= 1 ? num(v) + " ms" : v < .001 ? "< 1 µs" : num(v * 1000) + " µs";
        const percent = v => !known(v) ? "–" : (v * 100 >= 10 || v === 0 ? Math.round(v * 100) : (v * 100).toFixed(1)) + " %";
        const rate = v => num(v) + "/s", byteRate = v => bytes(v) + "/s", cores = v => (v > 0 && v < .001 ? "< 0.001" : num(v)) + " cores", secs = v => ms(v * 1000);
        const clock = (t, long) => new Date(t * 1000).toLocaleString([], long ? {month: "short", day: "numeric", hour: "2-digit", minute: "2-digit"} : {hour: "2-digit", minute: "2-digit", second: "2-digit"});
        function ago(t) {
          const s = Math.max(0, Date.now() / 1000 - t);
          return s < 90 ? Math.round(s) + " s ago" : s < 5400 ? Math.round(s / 60) + " min ago" : s < 129600 ? Math.round(s / 3600) + " h ago" : Math.round(s / 86400) + " days ago";
        }

        // Charts
        const W = 640, H = 190, R = 8, T = 8, B = 20;
        const left = texts => Math.max(40, 10 + 6.6 * Math.max(...texts.map(t => t.length)));
        function nice(max, unit) { // of bytes: a round number of their unit
          if (!(max > 0)) return unit ? 1024 : 1;
          if (unit) { const u = 1024 ** Math.floor(Math.log(max) / Math.log(1024)); return u * nice(max / u); }
          const p = 10 ** Math.floor(Math.log10(max));
          return [1, 2, 2.5, 5, 10].map(f => f * p).find(v => v >= max * 1.02) || 10 * p;
        }
        const dashes = [null, "6 3", "2 3", "9 3 2 3", null, "4 4"];
        const charts = [];
        function card(parent, id, title, note) {
          const root = el("section", {class: "card", "aria-labelledby": "t-" + id, "data-chart": id, "data-points": 0});
          root.append(el("h3", {id: "t-" + id, text: title}), el("p", {class: "note", text: note}));
          const content = el("div"); root.append(content); parent.append(root);
          return {root, content};
        }
        function empty(c, text) { c.content.replaceChildren(el("p", {class: "empty", text})); c.root.dataset.points = 0; }
        function width(c) { return Math.max(300, Math.round(c.root.clientWidth - 30) || W); }
        function table(heads, rows, caption) {
          const t = el("table"); if (caption) t.append(el("caption", {text: caption}));
          t.append(el("thead", {}, el("tr", {}, ...heads.map(h => el("th", {scope: "col", class: h.n ? "n" : null, text: h.t || h})))));
          t.append(el("tbody", {}, ...rows.map(r => el("tr", {}, ...r.map((v, i) => {
            const td = el("td", {class: heads[i].n ? "n" : heads[i].code ? "t" : null});
            const text = v && v.hint !== undefined ? v.text : v;
            td.append(heads[i].code ? el("div", {text, title: text.length > 200 ? text : null}) : text);
            if (v && v.hint) td.append(el("span", {class: "hint", text: v.hint}));
            return td;
          })))));
          return t;
        }
        function scroll(t, label) { return el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": label}, t); }
        // The table behind a chart is made when somebody opens it, and stays open.
        function asTable(c, title, make) {
          let d = c.root.querySelector("details");
          if (!d) {
            d = el("details", {}, el("summary", {text: "View as table"}), el("div"));
            d.addEventListener("toggle", () => { if (d.open) d.fill(); });
            c.root.append(d);
          }
          d.fill = () => d.lastChild.replaceChildren(scroll(make(), title + ", as a table"));
          if (d.open) d.fill();
        }
        // kind: "line" or "area" (stacked). lines: [{name, values, color, dash}]
        function plot(c, title, spec) {
          const times = spec.times, lines = spec.lines.filter(l => l.values.some(known));
          const count = lines.length ? times.length : 0;
          if (count < 2 || !lines.some(l => l.values.some(v => v > 0)) && spec.needsTraffic) return empty(c, spec.empty);
          const w = width(c), stacked = spec.kind === "area";
          const sums = times.map((_, i) => lines.reduce((s, l) => s + Math.max(0, l.values[i] || 0), 0));
          let top = stacked ? Math.max(...sums) : Math.max(...lines.flatMap(l => l.values.filter(known)), spec.target && spec.showTarget !== false ? spec.target : 0);
          if (spec.max) top = spec.max; else top = nice(top, spec.format === bytes || spec.format === byteRate);
          const L = left([0, top / 2, top].map(spec.format));
          const x0 = spec.from, x1 = Math.max(spec.to, x0 + 1);
          const x = t => L + (w - L - R) * (t - x0) / (x1 - x0), y = v => H - B - (H - B - T) * Math.min(1, Math.max(0, v / top));
          const root = svg("svg", {viewBox: `0 0 ${w} ${H}`, role: "img", tabindex: 0, "aria-label": title + ". " + lines.map(l => l.name + " now " + spec.format(last(l.values))).join(", ") + ". Arrow keys read values."});
          for (let k = 0; k <= 4; k++) {
            const v = top * k / 4;
            root.append(svg("line", {x1: L, x2: w - R, y1: y(v), y2: y(v), stroke: "var(--grid)"}), svg("text", {x: L - 6, y: y(v) + 4, "text-anchor": "end", text: k % 2 ? "" : spec.format(v)}));
          }
          const long = x1 - x0 > 90000, n = Math.max(2, Math.min(5, Math.floor((w - L - R) / (6.4 * clock(x1, long).length + 10))));
          for (let k = 0; k < n; k++) {
            const t = x0 + (x1 - x0) * k / (n - 1);
            root.append(svg("text", {x: x(t), y: H - 5, "text-anchor": k === 0 ? "start" : k === n - 1 ? "end" : "middle", text: clock(t, long).replace(/:\d\d(?=$| [AP]M)/, m => x1 - x0 > 900 && !long ? "" : m)}));
          }
          let written = -1e9; // words that would stand on each other are left out; the line has them as its title
          for (const m of (model.markers || [])) if (m.time >= x0 && m.time <= x1) {
            const text = m.kind === "mark" && m.text ? m.text.length > 16 ? m.text.slice(0, 15) + "…" : m.text : m.kind;
            const size = 6.6 * text.length + 6, isLate = x(m.time) + size > w - R, begin = isLate ? x(m.time) - size : x(m.time), isFree = begin > written;
            if (isFree) written = begin + size;
            root.append(svg("line", {x1: x(m.time), x2: x(m.time), y1: T, y2: H - B, stroke: "var(--c5)", "stroke-dasharray": "3 3"}, svg("title", {text: m.kind + ": " + m.text})), isFree ? svg("text", {x: x(m.time) + (isLate ? -3 : 3), y: T + 9, "text-anchor": isLate ? "end" : "start", text}) : ""); }
          const gap = 3 * spec.step;
          function pieces(l) { // parts without a hole in time
            const out = []; let part = [];
            times.forEach((t, i) => {
              if (!known(l.values[i]) || part.length && t - times[part[part.length - 1]] > gap) { if (part.length) out.push(part); part = []; }
              if (known(l.values[i])) part.push(i);
            });
            if (part.length) out.push(part);
            return out;
          }
          if (stacked) {
            const below = times.map(() => 0);
            lines.forEach((l, k) => {
              for (const part of pieces({values: l.values.map(v => known(v) ? v : 0)})) {
                const up = part.map(i => `${x(times[i]).toFixed(1)},${y(below[i] + Math.max(0, l.values[i] || 0)).toFixed(1)}`);
                const down = part.map(i => `${x(times[i]).toFixed(1)},${y(below[i]).toFixed(1)}`).reverse();
                root.append(svg("polygon", {points: up.concat(down).join(" "), fill: l.color, stroke: "var(--card)", "stroke-width": .75}));
              }
              times.forEach((_, i) => below[i] += Math.max(0, l.values[i] || 0));
            });
          } else {
            if (spec.band) { // between two lines
              const [lo, hi] = spec.band.map(i => lines[i]);
              if (lo && hi) for (const part of pieces(hi)) {
                const good = part.filter(i => known(lo.values[i]));
                const up = good.map(i => `${x(times[i]).toFixed(1)},${y(hi.values[i]).toFixed(1)}`), down = good.map(i => `${x(times[i]).toFixed(1)},${y(lo.values[i]).toFixed(1)}`).reverse();
                root.append(svg("polygon", {points: up.concat(down).join(" "), fill: lo.color, "fill-opacity": .13}));
              }
            }
            lines.forEach((l, k) => { for (const part of pieces(l)) {
              if (part.length === 1) root.append(svg("circle", {cx: x(times[part[0]]), cy: y(l.values[part[0]]), r: 2, fill: l.color}));
              else root.append(svg("polyline", {points: part.map(i => `${x(times[i]).toFixed(1)},${y(l.values[i]).toFixed(1)}`).join(" "), fill: "none", stroke: l.color, "stroke-width": 1.8, "stroke-linejoin": "round", "stroke-dasharray": l.dash === undefined ? dashes[k] : l.dash}));
            } });
          }
          if (known(spec.target) && spec.target <= top) root.append(svg("line", {x1: L, x2: w - R, y1: y(spec.target), y2: y(spec.target), stroke: "var(--bad)", "stroke-width": 1.2, "stroke-dasharray": "1 4", "stroke-linecap": "round"}), svg("text", {x: L + 4, y: y(spec.target) - 4, text: "objective, p95: " + spec.format(spec.target)}));
          const cross = svg("line", {y1: T, y2: H - B, stroke: "var(--soft)", visibility: "hidden"}); root.append(cross);
          const tip = el("div", {class: "tip", hidden: ""}), box = el("div", {class: "plot"}, root, tip);
          let at = -1;
          function show(i) {
            at = Math.max(0, Math.min(times.length - 1, i));
            cross.setAttribute("x1", x(times[at])); cross.setAttribute("x2", x(times[at])); cross.setAttribute("visibility", "visible");
            tip.replaceChildren(el("b", {text: clock(times[at], long)}), ...lines.map(l => el("div", {text: l.name + " " + spec.format(l.values[at])})));
            tip.hidden = false;
            const right = x(times[at]) / w > .55;
            tip.style.left = right ? "auto" : (x(times[at]) / w * 100 + 2) + "%"; tip.style.right = right ? (102 - x(times[at]) / w * 100) + "%" : "auto";
          }
          function hide() { at = -1; tip.hidden = true; cross.setAttribute("visibility", "hidden"); c.keep = null; }
          root.addEventListener("pointermove", e => { const r = root.getBoundingClientRect(), t = x0 + (x1 - x0) * ((e.clientX - r.left) / r.width * w - L) / (w - L - R); let i = 0; times.forEach((v, k) => { if (Math.abs(v - t) < Math.abs(times[i] - t)) i = k; }); c.keep = "pointer"; show(i); c.time = times[at]; });
          root.addEventListener("pointerleave", hide); root.addEventListener("blur", hide);
          root.addEventListener("keydown", e => {
            const step = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6}[e.key];
            if (e.key === "Escape") hide();
            if (!step) return;
            e.preventDefault(); c.keep = "keys"; show(at < 0 ? times.length - 1 : at + step); c.time = times[at];
          });
          const legend = el("ul", {class: "legend"}, ...lines.map((l, k) => el("li", {}, svg("svg", {viewBox: "0 0 18 8", "aria-hidden": "true"}, stacked ? svg("rect", {width: 18, height: 8, rx: 2, fill: l.color}) : svg("line", {x1: 0, x2: 18, y1: 4, y2: 4, stroke: l.color, "stroke-width": 2.5, "stroke-dasharray": l.dash === undefined ? dashes[k] : l.dash})), l.name + " ", el("b", {text: spec.format(last(l.values))}))));
          const focused = c.content.contains(document.activeElement) && document.activeElement.tagName.toLowerCase() === "svg";
          c.content.replaceChildren(legend, box);
          c.root.dataset.points = count;
          if (focused) root.focus({preventScroll: true});
          if (c.keep) { let i = 0; times.forEach((v, k) => { if (Math.abs(v - c.time) < Math.abs(times[i] - c.time)) i = k; }); show(i); }
          asTable(c, title, () => { const every = Math.ceil(times.length / 120); return table([{t: "time"}, ...lines.map(l => ({t: l.name, n: 1}))], times.map((t, i) => i).filter(i => i % every === 0).reverse().map(i => [clock(times[i], long), ...lines.map(l => spec.format(l.values[i]))])); });
        }
        function last(values) { for (let i = values.length - 1; i >= 0; i--) if (known(values[i])) return values[i]; return null; }
        function spark(values, color) {
          const good = values.filter(known), top = Math.max(...good, 1e-9), n = values.length;
          const root = svg("svg", {viewBox: "0 0 100 22", preserveAspectRatio: "none", "aria-hidden": "true"});
          if (good.length > 1) root.append(svg("polyline", {points: values.map((v, i) => `${(i / (n - 1) * 100).toFixed(1)},${(20.5 - 19 * Math.max(0, v || 0) / top).toFixed(1)}`).join(" "), fill: "none", stroke: color, "stroke-width": 1.5, "vector-effect": "non-scaling-stroke"}));
          return root;
        }
        function heatmap(c, title, m) {
          const rows = m.heatmap.lower_ms.length, n = m.times.length;
          const largest = Math.max(0, ...m.heatmap.counts.flat());
          if (n < 2 || !rows || !largest) return empty(c, "No request ended in this time.");
          const w = width(c), L = 52, cw = (w - L - R) * m.step / Math.max(1, m.to - m.from), lo = Math.log10(Math.max(m.heatmap.lower_ms[0], 1e-3)), hi = Math.max(Math.log10(m.heatmap.upper_ms[rows - 1]), lo + .3);
          const x = t => L + (w - L - R) * (t - m.from) / (m.to - m.from), y = v => H - B - (H - B - T) * Math.min(1, Math.max(0, (Math.log10(Math.max(v, 1e-9)) - lo) / (hi - lo)));
          const ends = m.heatmap.lower_ms.map((v, r) => [y(v), y(m.heatmap.upper_ms[r])]);
          const root = svg("svg", {viewBox: `0 0 ${w} ${H}`, role: "img", tabindex: 0, "aria-label": title + ": how many requests took how long, by time. Up to " + largest + " in one field. As a table below."});
          m.times.forEach((t, i) => m.heatmap.counts[i].forEach((v, r) => { if (v > 0)
            root.append(svg("rect", {x: x(t).toFixed(1), y: ends[r][1].toFixed(1), width: Math.max(1.5, cw).toFixed(2), height: (ends[r][0] - ends[r][1] + .3).toFixed(1), fill: `color-mix(in srgb,var(--h1) ${Math.round(100 * Math.log1p(v - 1) / Math.log1p(Math.max(1, largest - 1)))}%,var(--h0))`}, n * rows < 4000 ? svg("title", {text: `${clock(t)}: ${v} requests took ${ms(m.heatmap.lower_ms[r])} to ${ms(m.heatmap.upper_ms[r])}`}) : null)); }));
          const every = Math.ceil((hi - lo) / 7) || 1;
          for (let k = Math.ceil(lo); k <= hi; k += every) root.append(svg("line", {x1: L, x2: w - R, y1: y(10 ** k), y2: y(10 ** k), stroke: "var(--grid)"}), svg("text", {x: L - 6, y: y(10 ** k) + 4, "text-anchor": "end", text: ms(10 ** k)}));
          const long = m.to - m.from > 90000;
          (long && w < 420 ? [0, 1] : [0, .5, 1]).forEach(k => root.append(svg("text", {x: L + (w - L - R) * k, y: H - 5, "text-anchor": ["start", "middle", "end"][k * 2], text: clock(m.from + (m.to - m.from) * k, long)})));
          c.content.replaceChildren(el("div", {class: "plot"}, root));
          c.root.dataset.points = n;
          asTable(c, title, () => table([{t: "took"}, {t: "requests", n: 1}], m.heatmap.lower_ms.map((v, r) => [ms(v) + " to " + ms(m.heatmap.upper_ms[r]), num(m.heatmap.counts.reduce((s, row) => s + row[r], 0))]).reverse()));
        }
        function forest(c, proof) {
          const rows = proof ? proof.layers : [];
          if (!rows.length) return empty(c, "Not measured. headrace prove switches each layer off and on under the same load, and its result stands here.");
          const w = width(c), names = 14 + 6.6 * Math.max(...rows.map(r => r.layer.length)), h = 34 * rows.length + 34;
          const ends = rows.flatMap(r => [r.low_percent, r.high_percent, r.change_percent]).filter(known);
          const lo = Math.min(-10, ...ends) * 1.08, hi = Math.max(10, ...ends) * 1.08;
          const x = v => names + (w - names - 12) * (v - lo) / (hi - lo);
          const root = svg("svg", {viewBox: `0 0 ${w} ${h}`, role: "img", tabindex: 0, "aria-label": "What each layer is worth, with intervals. " + rows.map(r => r.layer + ": " + r.words).join(". ")});
          root.style.height = h + "px";
          root.append(svg("line", {x1: x(0), x2: x(0), y1: 4, y2: h - 24, stroke: "var(--soft)"}));
          [lo / 1.08, 0, hi / 1.08].filter(v => v === 0 || Math.abs(x(v) - x(0)) > 55).forEach(v => root.append(svg("text", {x: x(v), y: h - 8, "text-anchor": v === 0 ? "middle" : v < 0 ? "start" : "end", text: (v > 0 ? "+" : "") + Math.round(v) + " %"})));
          rows.forEach((r, i) => {
            const y = 20 + 34 * i, color = r.verdict === "faster" ? "var(--good)" : r.verdict === "slower" ? "var(--bad)" : "var(--c5)";
            root.append(svg("text", {x: 0, y: y + 4, class: "name", text: r.layer}));
            if (!known(r.change_percent)) return root.append(svg("text", {x: names, y: y + 4, text: r.verdict === "no-traffic" ? "no traffic" : "Not measured"}));
            if (known(r.low_percent) && known(r.high_percent)) root.append(svg("line", {x1: x(r.low_percent), x2: x(r.high_percent), y1: y, y2: y, stroke: color, "stroke-width": 2.5}), svg("line", {x1: x(r.low_percent), x2: x(r.low_percent), y1: y - 5, y2: y + 5, stroke: color, "stroke-width": 2}), svg("line", {x1: x(r.high_percent), x2: x(r.high_percent), y1: y - 5, y2: y + 5, stroke: color, "stroke-width": 2}));
            root.append(svg("rect", {x: x(r.change_percent) - 5, y: y - 5, width: 10, height: 10, fill: color, transform: `rotate(45 ${x(r.change_percent)} ${y})`}, svg("title", {text: r.words})));
          });
          c.content.replaceChildren(el("p", {class: "note", text: "Run " + proof.number + ", " + ago(proof.started_at) + ": " + proof.rounds + " rounds at " + num(proof.rate) + " requests/s." + (proof.is_too_noisy ? " TOO NOISY: the control shows a difference where there is none." : "") + " Left is faster."}), el("div", {class: "plot"}, root));
          c.root.dataset.points = rows.length;
          asTable(c, "What each layer is worth", () => table(["layer", "what it is worth"], rows.map(r => [r.layer, r.words])));
        }
        function benches(c, runs) {
          if (!runs.length) return empty(c, "Not measured. headrace bench --suite keeps its runs, and they stand here.");
          const users = [...new Set(runs.flatMap(r => r.levels.map(l => l.users)))].sort((a, b) => a - b).slice(0, 6);
          const w = width(c), L = 52, top = nice(Math.max(...runs.flatMap(r => r.levels.map(l => l.high || l.requests_per_second))));
          const x = i => L + 14 + (w - L - R - 28) * (runs.length === 1 ? .5 : i / (runs.length - 1)), y = v => H - B - (H - B - T) * Math.min(1, v / top);
          const root = svg("svg", {viewBox: `0 0 ${w} ${H}`, role: "img", tabindex: 0, "aria-label": "Requests per second of " + runs.length + " bench runs at " + users.join(", ") + " users. As a table below."});
          for (let k = 0; k <= 4; k += 2) root.append(svg("line", {x1: L, x2: w - R, y1: y(top * k / 4), y2: y(top * k / 4), stroke: "var(--grid)"}), svg("text", {x: L - 6, y: y(top * k / 4) + 4, "text-anchor": "end", text: num(top * k / 4)}));
          users.forEach((u, k) => {
            const color = `var(--c${k})`, points = [], shift = (k - (users.length - 1) / 2) * 5;
            runs.forEach((r, i) => r.levels.filter(l => l.users === u).forEach(l => {
              if (known(l.low) && known(l.high)) root.append(svg("line", {x1: x(i) + shift, x2: x(i) + shift, y1: y(l.low), y2: y(l.high), stroke: color, "stroke-width": 4, "stroke-opacity": .35, "stroke-linecap": "round"}));
              root.append(svg("circle", {cx: x(i) + shift, cy: y(l.requests_per_second), r: 3.5, fill: color}, svg("title", {text: `run ${r.number}, ${u} users: ${num(l.requests_per_second)} requests/s`})));
              points.push(`${x(i) + shift},${y(l.requests_per_second)}`);
            }));
            root.append(svg("polyline", {points: points.join(" "), fill: "none", stroke: color, "stroke-width": 1.4, "stroke-dasharray": dashes[k]}));
          });
          root.append(svg("text", {x: L, y: H - 5, text: clock(runs[0].started_at, 1)}), svg("text", {x: w - R, y: H - 5, "text-anchor": "end", text: runs.length > 1 ? clock(runs[runs.length - 1].started_at, 1) : ""}));
          const legend = el("ul", {class: "legend"}, ...users.map((u, k) => { const l = [...runs].reverse().flatMap(r => r.levels).find(l => l.users === u); return el("li", {}, svg("svg", {viewBox: "0 0 18 8", "aria-hidden": "true"}, svg("line", {x1: 0, x2: 18, y1: 4, y2: 4, stroke: `var(--c${k})`, "stroke-width": 2.5, "stroke-dasharray": dashes[k]})), u + " users ", el("b", {text: l ? num(l.requests_per_second) + "/s" : "–"})); }));
          c.content.replaceChildren(legend, el("div", {class: "plot"}, root));
          c.root.dataset.points = runs.length;
          asTable(c, "Bench history", () => table(["run", "when", {t: "users", n: 1}, {t: "requests/s", n: 1}, {t: "mean", n: 1}, {t: "p95", n: 1}, {t: "failed", n: 1}], [...runs].reverse().flatMap(r => r.levels.map(l => [r.number, clock(r.started_at, 1), l.users, num(l.requests_per_second), ms(l.average_response_time_ms), ms(l.p95_ms), num(l.failed_requests)]))));
        }

        // The charts over time: what each takes from the model.
        const C = i => `var(--c${i})`;
        function over(id, title, note, kind, format, pick, more) {
          charts.push({id, title, note, draw(c) {
            const lines = pick(model.series, model.percentiles_ms).map((l, i) => ({name: l[0], values: l[1] || [], color: l[2] || C(i), dash: l[3]}));
            plot(c, title, Object.assign({kind, format, lines, times: model.times, from: model.from, to: model.to, step: model.step, needsTraffic: true, empty: "Nothing in this time."}, typeof more === "function" ? more() : more));
          }});
        }
        const zip = (f, ...lists) => lists[0].map((_, i) => f(...lists.map(l => l[i] || 0)));
        over("requests", "Requests", "Per second, by class of their status.", "area", rate, s => [["2xx", s.responses_2xx, C(0)], ["3xx", s.responses_3xx, C(2)], ["4xx", s.responses_4xx, C(1)], ["5xx, failed", s.responses_5xx, C(4)]], {empty: "No request in this time."});
        over("latency", "Response times", "From a request's head to its response's last byte; each line holds that share of requests below it.", "line", ms, (s, p) => [["p50", p.response.p50, C(0)], ["p95", p.response.p95, C(1)], ["p99", p.response.p99, C(3)]], () => ({band: [0, 2], target: latest && latest.objective.p95_ms, showTarget: false, empty: "No request in this time."}));
        charts.push({id: "heatmap", title: "How long requests took", note: "The stronger a field's colour, the more requests took that long; two rows for each doubling.", draw(c) { heatmap(c, "How long requests took", model); }});
        over("stages", "Where requests' time goes", "Seconds per second of all requests, by the names of Server-Timing. SQL and pool wait are those of statements with a traceparent; what others take is in first byte.", "area", secs, s => {
          const of = n => s["stage_" + n + "_seconds"].map(v => v || 0), sql = s.traced_query_seconds.map(v => v || 0), wait = s.traced_wait_seconds.map(v => v || 0);
          return [["queue", of("queue"), C(5)], ["lookup", of("lookup"), C(0)], ["connect", of("connect"), C(6)], ["first byte", zip((f, q, w) => Math.max(0, f - q - w), of("first_byte"), sql, wait), C(1)], ["pool wait", wait, C(4)], ["SQL", sql, C(3)], ["compress", of("compress"), C(2)], ["write", of("write"), C(7)]]; }, {empty: "No request in this time."});
        over("sql", "Where the pooler's time goes", "Seconds per second of all its clients, whoever they are: requests, jobs, consoles.", "area", secs, s => [["SQL", s.pool_query_seconds, C(3)], ["in a transaction, asking nothing", zip((t, q) => Math.max(0, t - q), s.pool_transaction_seconds, s.pool_query_seconds), C(1)], ["wait for a connection", s.pool_wait_seconds, C(4)]], () => ({empty: on("pooler") ? "No query in this time." : "There is no pooler here: pooler.listen and pooler.postgres make one."}));
        over("cache", "Response cache", "What it had to do with each request, per second.", "area", rate, s => [["hit", s.cache_hits, C(0)], ["revalidated", s.cache_revalidated, C(2)], ["coalesced", s.cache_coalesced, C(6)], ["stale, served", s.cache_served_stale, C(3)], ["stale, fetched", s.cache_stale, C(1)], ["miss", s.cache_misses, C(4)], ["past it", s.cache_bypassed, C(5)]], {empty: "No request asked it in this time."});
        over("saved", "Bytes spared", "Of bodies, per second: by compression, and by 304 for what the client had. Beside them what was sent.", "area", byteRate, s => [["sent", s.body_bytes, C(5)], ["spared by compression", s.saved_by_compression_bytes, C(0)], ["spared by 304", s.saved_by_not_modified_bytes, C(2)]], {empty: "Nothing was sent in this time."});
        over("saved-cost", "What sparing them costs", "Cores that compressing takes, in the background and while clients wait. A 304 costs next to nothing.", "line", cores, s => [["compressing", s.compression_cpu_seconds, C(2)]], {needsTraffic: false});
        over("keyspace", "Keyspace", "Lookups that found their key and those that did not, per second.", "area", rate, s => [["found", s.keyspace_hits, C(0)], ["not found", s.keyspace_misses, C(1)], ["evicted", s.keyspace_evictions, C(4)]], () => ({empty: on("keyspace") ? "No lookup in this time." : "There is no keyspace here: keyspace.listen makes one."}));
        over("keyspace-rate", "Keyspace hit rate", "Of its lookups, those that found their key.", "line", percent, s => [["hit rate", (s.keyspace_hits || []).map((h, i) => h + s.keyspace_misses[i] > 0 ? h / (h + s.keyspace_misses[i]) : null), C(0)]], () => ({needsTraffic: false, max: 1, empty: on("keyspace") ? "No lookup in this time." : "There is no keyspace here: keyspace.listen makes one."}));
        over("keyspace-commands", "Keyspace operations", "Commands per second, and keys that made room for others or whose time had passed.", "line", rate, s => [["commands", s.keyspace_commands, C(0)], ["evicted", s.keyspace_evictions, C(4)], ["expired", s.keyspace_expired, C(5)]], () => ({needsTraffic: false, empty: "There is no keyspace here: keyspace.listen makes one."}));
        over("keyspace-memory", "Keyspace memory", "Keys and values, with their bookkeeping.", "line", bytes, s => [["memory", s.keyspace_bytes]], () => ({needsTraffic: false, target: null, empty: "There is no keyspace here: keyspace.listen makes one."}));
        over("pool", "Connection pool", "Server connections, and clients that wait for one.", "line", num, s => [["servers busy", s.pool_servers_active, C(0)], ["servers idle", s.pool_servers_idle, C(2)], ["clients", s.pool_clients, C(5)], ["clients waiting", s.pool_clients_waiting, C(4)]], () => ({needsTraffic: false, empty: "There is no pooler here: pooler.listen and pooler.postgres make one."}));
        over("pool-wait", "Waits for a server connection", "How long clients waited that got one.", "line", ms, (s, p) => [["p50", p.pool_wait.p50, C(0)], ["p95", p.pool_wait.p95, C(1)], ["p99", p.pool_wait.p99, C(3)]], () => ({needsTraffic: false, empty: on("pooler") ? "Nobody had to wait in this time." : "There is no pooler here: pooler.listen and pooler.postgres make one."}));
        over("cpu", "CPU", "Cores in use: the process, and the event loops of each layer.", "line", num, s => [["process", s.cpu_seconds, C(5)], ["edge", s.cpu_edge_seconds, C(0)], ["pooler", s.cpu_pooler_seconds, C(3)], ["keyspace", s.cpu_keyspace_seconds, C(2)], ["compressing", s.compression_cpu_seconds, C(1)]], {needsTraffic: false});
        over("lag", "Event loop lag", "How late the edge's loops came to what was due, at worst.", "line", secs, s => [["lag", s.loop_lag_seconds, C(0)]], {needsTraffic: false});
        over("memory", "Memory", "Resident, and what the response cache has of it.", "line", bytes, s => [["process", s.memory_bytes, C(5)], ["response cache", s.cache_bytes, C(0)]], {needsTraffic: false});
        over("files", "Connections and descriptors", "Open now.", "line", num, s => [["descriptors", s.open_files, C(5)], ["clients of the edge", s.connections, C(0)], ["to the application", s.upstream_connections, C(1)]], {needsTraffic: false});
        over("burn", "Error budget burn", "How many times as fast as the objective allows: 1 is just what it does.", "line", v => num(v) + "×", s => [["burn", zip((f, r) => r > 0 && latest ? f / r / Math.max(1e-9, 1 - latest.objective.availability) : 0, s.responses_5xx, s.requests), C(4)]], {needsTraffic: false});
        charts.push({id: "bench", title: "Bench history", note: "Requests per second at each number of users; the bar is the spread over the run's seconds.", draw(c) { benches(c, latest ? latest.benches : []); }});
        charts.push({id: "proof", title: "What each layer is worth", note: "Change of the median response time by having the layer, with its 95 % interval.", draw(c) { forest(c, latest && latest.proof); }});
        function on(name) { return latest && latest.layers.some(l => l.name === name && l.state !== "off"); }
        const seriesNames = [...new Set(("requests responses_2xx responses_3xx responses_4xx responses_5xx stage_lookup_seconds stage_queue_seconds stage_connect_seconds stage_first_byte_seconds stage_compress_seconds stage_write_seconds pool_query_seconds pool_transaction_seconds pool_wait_seconds traced_query_seconds traced_wait_seconds compression_cpu_seconds cache_hits cache_revalidated cache_coalesced cache_served_stale cache_stale cache_misses cache_bypassed body_bytes saved_by_compression_bytes saved_by_not_modified_bytes keyspace_commands keyspace_hits keyspace_misses keyspace_evictions keyspace_expired keyspace_bytes pool_servers_active pool_servers_idle pool_clients pool_clients_waiting pool_queries cpu_seconds cpu_edge_seconds cpu_pooler_seconds cpu_keyspace_seconds loop_lag_seconds memory_bytes cache_bytes open_files connections upstream_connections").split(" "))];
        for (const c of charts) Object.assign(c, card($("charts"), c.id, c.title, c.note));

        // Lists
        const lists = [
          ["services", "Services", "Down after three failed probes in a row, up again after two good ones. Up since its start where it tells that, else at least since a probe found it up.", ["service", "state", "up since", "version", {t: "where, and the last error"}], d => d.services.map(s => [s.name, s.state, s.state === "down" ? "found down " + ago(s.since) : s.up_since ? ago(s.up_since) : s.since ? "at least " + ago(s.since) : "–", s.version || "–", {text: s.detail || "", hint: s.last_error ? s.last_error + (s.last_error_at ? " (" + ago(s.last_error_at) + ")" : "") : ""}])],
          ["paths", "Top paths, by total time", "Numbers in paths are stars. A hint where something can be done.", [{t: "path", code: 1}, {t: "requests", n: 1}, {t: "total", n: 1}, {t: "mean", n: 1}, {t: "from cache", n: 1}, {t: "statements", n: 1}], d => (d.paths || []).map(p => [{text: p.pattern, hint: p.hint || ""}, num(p.requests), secs(p.seconds), ms(p.average_response_time_ms), percent(p.hit_share), num(p.statements_per_page)])],
          ["statements", "Top statements, by total time", "Normalised by the pooler; no value of anybody's is in them.", [{t: "statement", code: 1}, {t: "calls", n: 1}, {t: "total", n: 1}, {t: "mean", n: 1}, {t: "p95", n: 1}, {t: "rows", n: 1}], d => (d.statements || []).map(s => [{text: s.text, hint: s.hint || ""}, num(s.calls), secs(s.seconds), ms(s.mean_ms), ms(s.p95_ms), num(s.rows)])],
          ["statements-mean", "Top statements, by mean time", "", [{t: "statement", code: 1}, {t: "calls", n: 1}, {t: "mean", n: 1}, {t: "total", n: 1}], d => (d.statements_by_mean || []).map(s => [{text: s.text, hint: s.hint || ""}, num(s.calls), ms(s.mean_ms), secs(s.seconds)])],
          ...[["total", "total"], ["mean", "mean"]].map(([by, word]) => ["pg-" + by, "pg_stat_statements, by " + word + " time", "As PostgreSQL itself counts, whoever asked.", [{t: "statement", code: 1}, {t: "calls", n: 1}, {t: "total", n: 1}, {t: "mean", n: 1}, {t: "rows", n: 1}], d => (d["pg_stat_statements_by_" + by] || []).map(s => [s.text, num(s.calls), secs(s.seconds), ms(s.mean_ms), num(s.rows)]), "Not measured: there is no pg_stat_statements, or PostgreSQL does not let us in."]),
          ["schedule", "Scheduled tests", "Light, medium and heavy load, and the proof. Times of the expressions are UTC.", ["test", "when", "next", "last", "how it ended"], d => d.schedule.map(s => [s.name, s.cron, s.is_running ? "running now" : s.next_at ? clock(s.next_at, 1) : "–", s.last ? ago(s.last.ended_at) : "–", {text: s.last ? s.last.ending + (s.last.words ? ": " + s.last.words : "") : "–", hint: s.last && s.last.log ? s.last.log.join("\n") : ""}]), "No test is scheduled: schedule.load and schedule.proof."],
          ["marks", "What happened", "Starts, deploys, reloads, scheduled tests, and what headrace mark says; the last first.", ["when", "what", "details"], d => [...(d.marks || [])].reverse().map(m => [clock(m.time, 1) + ", " + ago(m.time), m.kind, m.text])],
          ["reasons", "Why the cache had no answer", "Named reasons, since the start.", ["outcome", "reason", {t: "requests", n: 1}], d => d.reasons.map(r => [r.outcome, r.reason, num(r.count)])],
          ["routes", "Routes", "", ["route", {t: "requests", n: 1}, {t: "failed", n: 1}], d => (d.routes || []).map(r => [r.name, num(r.requests), num(r.failed_requests)])],
          ["upstreams", "Upstreams", "", ["group", "member", "state", {t: "active", n: 1}, {t: "requests", n: 1}, {t: "failures", n: 1}], d => (d.upstreams || []).map(u => [u.group, u.address, u.is_up ? "up" : "out", num(u.active), num(u.requests), num(u.failures)])],
          ["pools", "Pools", "", ["database", "user", {t: "waiting", n: 1}, {t: "busy", n: 1}, {t: "idle", n: 1}, {t: "longest wait", n: 1}], d => (d.pools || []).map(p => [p.database, p.user, num(p.clients_waiting), num(p.servers_active), num(p.servers_idle), secs(p.max_wait_seconds)])]
        ].map(([id, title, note, heads, rows, none]) => Object.assign(card($("tables"), id, title, note), {id, title, heads, rows, none}));

        function drawLatest() {
          const d = latest, now = d.now.rates, byName = {};
          $("layers").replaceChildren(...d.layers.map(l => {
            byName[l.name] = l;
            const word = {on: "on", off: "off", idle: "on, no traffic"}[l.state];
            const bar = el("div", {class: "bar"}), fill = el("i"); fill.style.width = known(l.share) && l.state !== "off" ? Math.max(1, l.share * 100) + "%" : "0"; bar.append(fill);
            const worth = l.worth && known(l.worth.change_percent) ? ["Worth " + signed(l.worth.change_percent) + " of the median time", known(l.worth.low_percent) ? " " : "", known(l.worth.low_percent) ? el("span", {text: "(" + signed(l.worth.low_percent).slice(0, -2) + " to " + signed(l.worth.high_percent) + ")"}) : "", ", " + ago(d.proof.started_at)] : [l.worth && l.worth.verdict === "no-traffic" ? "Worth: no traffic in the last proof" : "Worth: Not measured"];
            const cost = [known(l.cpu_cores) ? cores(l.cpu_cores) : null, known(l.memory_bytes) ? bytes(l.memory_bytes) : null].filter(Boolean).join(", ");
            return el("li", {class: l.state}, el("h3", {text: l.title}), el("p", {class: "state"}, el("span", {class: "dot " + l.state}), word), el("p", {class: "big", text: l.state === "off" ? "–" : percent(l.share)}), bar, el("p", {class: "of", text: l.state === "off" ? "does nothing here" : known(l.share) ? l.share_of : l.share_of + ": Not measured" + why(l.share_note)}), el("p", {class: "worth"}, ...worth), l.held_out ? el("p", {class: "held", text: "On visitors: " + l.held_out.words}) : null, el("p", {class: "cost", text: "Costs: " + (cost ? cost + (l.cost_note ? "; " + l.cost_note : "") : l.state === "off" ? "nothing" : l.cost_note && /^part/.test(l.cost_note) ? l.cost_note : "Not measured" + why(l.cost_note))}));
          }));
          for (const l of lists) {
            const rows = l.rows(d);
            if (!rows.length) { empty(l, !d.is_operator && !["services", "reasons", "schedule", "marks"].includes(l.id) ? "For operators." : l.none || "Nothing yet."); continue; }
            l.content.replaceChildren(scroll(table(l.heads, rows), l.title));
            l.root.dataset.points = rows.length;
          }
          $("footer").replaceChildren("Headrace " + d.headrace.version + ", up since " + clock(d.headrace.up_since, 1) + " on " + d.headrace.cores + " cores · ", el("a", {href: base + "/latest.json", text: "latest.json"}), " · ", el("a", {href: base + "/api/series?range=" + range, text: "api/series"}), " · ", el("a", {href: location.pathname + "?range=" + range + "&to=" + Math.round(until || d.time), text: "link to exactly this view"}));
          drawNow(d.now.rates, d.now.response_ms);
        }
        const why = note => note ? " (" + note + ")" : "";
        const signed = v => (v > 0 ? "+" : "−") + Math.abs(v).toFixed(Math.abs(v) < 10 ? 1 : 0) + " %";
        function drawNow(r, p) {
          if (!latest) return;
          const d = latest, down = d.services.filter(s => s.state === "down");
          const asked = ["cache_hits", "cache_revalidated", "cache_coalesced", "cache_served_stale"].reduce((s, n) => s + (r[n] || 0), 0);
          const share = r.requests > 0 ? asked / r.requests : null, failing = r.requests > 0 ? (r.responses_5xx || 0) / r.requests : 0;
          const slow = known(p.p95) && p.p95 > d.objective.p95_ms;
          $("verdict").textContent = (down.length ? down.map(s => s.name).join(", ") + (down.length > 1 ? " are" : " is") + " down. " : d.services.length ? "All " + d.services.length + " services are up. " : "") + (r.requests > 0 ? `${num(r.requests)} requests/s, 95 of 100 within ${ms(p.p95)} (objective ${ms(d.objective.p95_ms)}${slow ? ": missed" : ""}), ${failing > 0 ? percent(failing) + " failing" : "none failing"}.` + (known(share) ? ` ${percent(share)} are answered from the response cache.` : "") : "No requests at this moment.");
          const s = model ? model.series : {}, tile = (value, label, values, color) => el("li", {}, el("b", {text: value}), el("span", {text: label}), values ? spark(values, color || C(0)) : null);
          const burn = d.objective.burn_rate_1h, past = d.database && on("pooler") ? d.database.sessions_past_the_pooler : 0;
          if (past > 0) $("verdict").append(` ${num(past)} ${past === 1 ? "session of PostgreSQL goes" : "sessions of PostgreSQL go"} past the pooler.`);
          $("tiles").replaceChildren(tile(num(r.requests), "requests/s", s.requests), tile(ms(p.p95), "p95", model && model.percentiles_ms.response.p95, C(1)), tile(percent(failing), "failing", s.responses_5xx, C(4)), tile(percent(share), "from the response cache", s.cache_hits), tile(byteRate((r.saved_by_compression_bytes || 0) + (r.saved_by_not_modified_bytes || 0)), "spared", s.saved_by_compression_bytes, C(2)), on("pooler") ? tile(num(r.pool_queries), "queries/s", s.pool_queries, C(3)) : "", on("keyspace") ? tile(num(r.keyspace_commands), "commands/s", s.keyspace_commands, C(2)) : "", tile(num(r.cpu_seconds), "cores of " + d.headrace.cores, s.cpu_seconds, C(5)), tile(known(burn) ? num(burn) + "×" : "–", "error budget burn, 1\u00a0h", null), known(d.spared.money) ? tile(num(d.spared.money), d.spared.currency + " of traffic spared", null) : "");
        }
        function drawCharts() { for (const c of charts) c.draw(c); }

        // Data
        async function get(path) { const r = await fetch(base + path, {cache: "no-store"}); if (!r.ok) throw new Error(r.status); return r.json(); }
        async function load() {
          if (loading) return;
          loading = true;
          try {
            const [d, m] = await Promise.all([get("/latest.json"), get(`/api/series?range=${range}&points=${innerWidth < 700 ? 200 : 400}&names=${seriesNames.join(",")}` + (until ? "&to=" + until : ""))]);
            latest = d; model = m; loadedAt = latestAt = Date.now();
            drawLatest(); drawCharts(); said();
          } catch (e) { status("unknown", "no answer, trying again"); setTimeout(load, 2000); }
          finally { loading = false; }
        }
        function status(kind, text) { $("dot").className = "dot " + kind; $("live").textContent = text; }
        function said() { status("up", until ? "until " + clock(until, 1) : refresh ? "every " + refresh + " s" : events ? "live" : "up to date"); }
        function append(m) { // one second more, one less
          if (!model || until) return;
          for (const k of m.markers) if (!model.markers.some(o => o.time === k.time && o.kind === k.kind && o.text === k.text)) model.markers.push(k);
          if (model.step !== 1 || !m.times.length || m.times[0] <= last(model.times)) return;
          const length = ranges[range]; model.to = m.to; model.from = m.to - length;
          model.times.push(m.times[0]);
          for (const n of Object.keys(model.series)) model.series[n].push(m.series[n] ? m.series[n][0] : null);
          for (const t of Object.keys(model.percentiles_ms)) for (const p of Object.keys(model.percentiles_ms[t])) model.percentiles_ms[t][p].push(m.percentiles_ms[t][p][0]);
          const h = model.heatmap, index = v => h.lower_ms.findIndex(w => Math.abs(w - v) < v * 1e-3 + 1e-9);
          for (const [i, v] of m.heatmap.lower_ms.entries()) if (index(v) < 0) {
            let at = h.lower_ms.findIndex(w => w > v); if (at < 0) at = h.lower_ms.length;
            h.lower_ms.splice(at, 0, v); h.upper_ms.splice(at, 0, m.heatmap.upper_ms[i]); h.counts.forEach(row => row.splice(at, 0, 0));
          }
          const row = h.lower_ms.map(() => 0); m.heatmap.lower_ms.forEach((v, i) => row[index(v)] = m.heatmap.counts[0][i]); h.counts.push(row);
          while (model.times.length && model.times[0] < model.from) {
            model.times.shift(); h.counts.shift();
            for (const n of Object.keys(model.series)) model.series[n].shift();
            for (const t of Object.values(model.percentiles_ms)) for (const p of Object.values(t)) p.shift();
          }
        }
        function listen() {
          if (events || until || refresh || document.hidden) return;
          events = new EventSource(base + "/events");
          events.addEventListener("open", said);
          events.addEventListener("error", () => status("unknown", "connection lost, trying again"));
          events.addEventListener("sample", e => {
            const m = JSON.parse(e.data), now = Date.now(), r = {};
            document.body.dataset.events = ++lastEvent;
            for (const n of Object.keys(m.series)) r[n] = m.series[n][0];
            const p = m.percentiles_ms.response;
            if (!model) return;
            if (m.times[0] - last(model.times) > 5 && model.step === 1) return load();
            append(m); said();
            if (latest && known(p.p95[0])) drawNow(r, {p95: p.p95[0]}); else if (latest) drawNow(r, latest.now.response_ms);
            if (model.step === 1) drawCharts();
            if (model.step > 1 && now - loadedAt > Math.max(5, model.step) * 1000) load();
            else if (now - latestAt > 5000) { latestAt = now; get("/latest.json").then(d => { latest = d; drawLatest(); }).catch(() => {}); }
          });
        }
        document.addEventListener("visibilitychange", () => { if (document.hidden) { if (events) events.close(); events = null; } else { load().then(listen); } });
        $("ranges").append(...Object.keys(ranges).map(r => { const a = el("a", {href: "?range=" + r + (refresh ? "&refresh=" + refresh : ""), text: r, "aria-current": r === range ? "true" : null}); return a; }));
        if (refresh > 0) setInterval(load, Math.max(1, refresh) * 1000);
        let resized; addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => { if (model) drawCharts(); }, 150); });
        load().then(listen);
        })();
        """#
}
