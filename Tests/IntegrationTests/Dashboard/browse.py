#!/usr/bin/env python3
"""Looks at the dashboard with a real browser, and prints what it saw as one JSON object.

    browse.py CHROMIUM URL --width 1440 --scheme dark --picture FILE [--events 3] [--full]

How it works: 1. Chromium is started headless with its debugging protocol on two pipes. 2. The page is opened at the width and in the
colours asked for. 3. Once it has drawn what so many events of the live stream brought, everything that a test wants to know is read off the
document: what each chart has, what is wider than the window, what has no name, what has too little contrast. 4. Keys are pressed. 5. The
picture is taken. 6. With --ways a deploy is marked, the tab is hidden and seen again, the page goes to paper, its link to exactly this view is followed, and it is
asked for with ?refresh=1. What the console said and every request that was made are kept throughout.
"""
import argparse
import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.request

LOOK = r"""
(() => {
  const seen = e => { const s = getComputedStyle(e), r = e.getBoundingClientRect(); return s.visibility !== "hidden" && s.display !== "none" && r.width > 0 && r.height > 0; };
  const parse = c => { let m = c.match(/[\d.]+/g).map(Number); if (c.startsWith("color(")) m = m.map((v, i) => i < 3 ? v * 255 : v); return m.length < 4 ? [...m, 1] : m; };
  const light = ([r, g, b]) => { const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > .5) return c; } return [255, 255, 255, 1]; };
  const faint = [];
  for (const e of document.querySelectorAll("p,li,td,th,h1,h2,h3,a,b,span,summary,text,code")) {
    if (!seen(e) || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const s = getComputedStyle(e), ink = parse(e.namespaceURI.endsWith("svg") ? s.fill : s.color);
    const r = ratio(ink, ground(e)), size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.6 && Number(s.fontWeight) >= 600;
    if (r < (large ? 3 : 4.5)) faint.push(e.tagName + " " + e.textContent.trim().slice(0, 30) + " " + r.toFixed(2));
  }
  const lines = [];
  for (const e of document.querySelectorAll(".plot polyline, .plot polygon:not([fill-opacity='.13']), [data-chart=heatmap] .plot rect")) {
    const name = e.tagName === "polyline" ? "stroke" : "fill", c = getComputedStyle(e)[name];
    if (c !== "none" && e.getAttribute("fill-opacity") !== "0.13" && ratio(parse(c), ground(e.closest(".card"))) < 3) lines.push(c);
  }
  const nameless = [...document.querySelectorAll("svg[role=img]:not([aria-label]),a:not([aria-label]),section:not([aria-labelledby]):not(.verdict),[role=region]:not([aria-label])")].filter(e => !(e.tagName === "A" && e.textContent.trim())).map(e => e.outerHTML.slice(0, 100));
  // Words of a chart that stand on each other, or are cut off by its edge.
  const overlaps = [], cut = [];
  for (const s of document.querySelectorAll(".plot > svg")) {
    const frame = s.getBoundingClientRect(), chart = s.closest("[data-chart]").dataset.chart;
    const words = [...s.querySelectorAll("text")].filter(t => t.textContent.trim()).map(t => [t.textContent, t.getBoundingClientRect()]);
    words.forEach(([text, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 2 || a.bottom > frame.bottom + 2) cut.push(chart + ": " + text);
      for (const [other, b] of words.slice(i + 1)) if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3) overlaps.push(chart + ": " + text + " / " + other);
    });
  }
  for (const e of document.querySelectorAll("#tiles b, #tiles span, #layers h3, #layers p, .legend li, h2, h3, nav a")) if (seen(e) && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline") cut.push(e.textContent);
  // What a screen reader goes by.
  const misused = [], ids = [...document.querySelectorAll("[id]")].map(e => e.id), say = (what, e) => misused.push(what + ": " + e.outerHTML.slice(0, 80));
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach(id => misused.push("twice: " + id));
  for (const e of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) say("labelled by nothing", e);
  for (const e of document.querySelectorAll("[tabindex]")) if (!e.getAttribute("role")) say("can be focused and has no role", e);
  for (const e of document.querySelectorAll("[role]")) if (!["img", "region", "status"].includes(e.getAttribute("role"))) say("role", e);
  for (const e of document.querySelectorAll("th")) if (!e.scope || !e.textContent.trim()) say("a heading of nothing", e);
  for (const e of document.querySelectorAll("svg:not([role=img]):not([aria-hidden=true])")) say("a picture that says nothing", e);
  [...document.querySelectorAll("h1,h2,h3,h4")].reduce((level, e) => { const own = Number(e.tagName[1]); if (own > level + 1 && !(level === 1 && own === 3)) say("heading", e); return own; }, 0);
  for (const [name, count] of [["h1", 1], ["main", 1], ["header", 1], ["footer", 1], ["nav[aria-label]", 1]]) if (document.querySelectorAll(name).length !== count) misused.push(name + ": not " + count);
  if (!document.documentElement.lang || !document.title) misused.push("no language or title");
  return {
    overlaps, cut, misused, sparks: document.querySelectorAll("#tiles svg polyline").length,
    bands: document.querySelectorAll(".plot polygon[fill-opacity='.13'], .plot polygon[fill-opacity='0.13']").length,
    rows: Object.fromEntries([...document.querySelectorAll("#tables [data-chart]")].map(e => [e.dataset.chart, [...e.querySelectorAll(".scroll tbody tr")].map(r => [...r.cells].map(c => c.textContent))])),
    forest: [...document.querySelectorAll("[data-chart=proof] .plot svg")].map(e => ({names: [...e.querySelectorAll("text.name")].map(t => t.textContent), found: [...e.querySelectorAll("rect title")].map(t => t.textContent), ends: e.querySelectorAll("line[stroke-width='2.5']").length}))[0] ?? null,
    marks: [...new Set([...document.querySelectorAll(".plot line title")].map(e => e.textContent))],
    points: Object.fromEntries([...document.querySelectorAll("[data-chart]")].map(e => [e.dataset.chart, Number(e.dataset.points)])),
    layers: [...document.querySelectorAll("#layers li")].map(e => e.textContent),
    layerStates: [...document.querySelectorAll("#layers li")].map(e => e.className),
    verdict: document.getElementById("verdict").textContent,
    live: document.getElementById("live").textContent,
    tooWide: document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.tagName + "." + (e.className.baseVal ?? e.className)) : [],
    scripts: document.scripts.length, images: document.images.length,
    faint: [...new Set(faint)].slice(0, 10), faintLines: [...new Set(lines)], nameless,
    background: getComputedStyle(document.body).backgroundColor,
    text: document.body.innerText,
  };
})()
"""


class Browser:
    def __init__(self, program, profile):
        out_read, out_write = os.pipe()
        in_read, in_write = os.pipe()

        # The protocol is on descriptors 3 and 4 of the browser.
        def prepare():
            os.dup2(in_read, 100)
            os.dup2(out_write, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-extensions", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=prepare)
        os.close(in_read)
        os.close(out_write)
        self.write_end, self.read_end = in_write, out_read
        self.pending = b""
        self.number = 0
        self.session = None
        self.console = []
        self.requests = []

    def receive(self, deadline):
        while b"\0" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.read_end], [], [], left)[0]:
                return None
            part = os.read(self.read_end, 1 << 20)
            if not part:
                sys.exit("the browser has ended")
            self.pending += part
        text, self.pending = self.pending.split(b"\0", 1)
        message = json.loads(text)
        self.note(message)
        return message

    def note(self, message):
        method, values = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in values["args"]))
        elif method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.console.append(values["entry"]["text"] + " " + values["entry"].get("url", ""))
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])

    def call(self, method, seconds=60, **values):
        self.number += 1
        message = {"id": self.number, "method": method, "params": values}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            reply = self.receive(deadline)
            if reply is None:
                sys.exit(method + ": no answer")
            if reply.get("id") == self.number:
                if "error" in reply:
                    sys.exit(method + ": " + reply["error"]["message"])
                return reply["result"]

    def evaluate(self, text):
        result = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            sys.exit("evaluating: " + json.dumps(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def wait(self, text, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.evaluate(text):
                return True
            self.receive(time.monotonic() + 0.2)
        return False

    def key(self, name, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)


def ways(browser, options):
    """What the page does when nobody looks, on paper, by its own link, and with ?refresh=1."""
    seen = {}
    # Whoever has the page open sees a deploy as it is marked.
    urllib.request.urlopen(urllib.request.Request(options.url + "/api/marks", method="POST", headers={"Headrace-Mark": "v1.2 <i>"}), timeout=30).close()
    seen["isMarked"] = browser.wait("[...document.querySelectorAll('.plot line title')].some(e => e.textContent === 'mark: v1.2 <i>')", 30)
    events = "Number(document.body.dataset.events)"
    hide = ("(is => { for (const [name, value] of [['hidden', is], ['visibilityState', is ? 'hidden' : 'visible']])"
            " Object.defineProperty(document, name, {configurable: true, get: () => value}); document.dispatchEvent(new Event('visibilitychange')); })")
    browser.evaluate(hide + "(true)")
    at = browser.evaluate(events)
    browser.wait("false", 2.5)
    seen["eventsWhileHidden"] = browser.evaluate(events) - at
    browser.evaluate(hide + "(false)")
    seen["eventsWhenSeenAgain"] = browser.wait(f"{events} > {at}", 30)
    browser.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    paper = browser.evaluate(LOOK)
    seen["paper"] = {name: paper[name] for name in ("background", "faint", "faintLines", "points")}
    seen["paper"]["isWithoutControls"] = browser.evaluate("getComputedStyle(document.querySelector('nav')).display === 'none'")
    seen["paper"]["isDocument"] = base64.b64decode(browser.call("Page.printToPDF")["data"]).startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": options.scheme}])
    link = browser.evaluate("[...document.querySelectorAll('footer a')].find(a => a.textContent.includes('exactly this view')).href")
    for name, url in (("link", link), ("hour", options.url + "?range=1h"), ("refresh", options.url + "?refresh=1")):
        made = len(browser.requests)
        browser.call("Page.navigate", url=url)
        drawn = "Number(document.querySelector('[data-chart=requests]')?.dataset.points || 0) > 1"
        seen[name] = {"url": url, "isDrawn": browser.wait(f"location.href === {json.dumps(url)} && {drawn}", 30)}
        if name == "hour":
            seen[name]["isLive"] = browser.wait("document.getElementById('live').textContent === 'live'", 30)
        if name == "refresh":
            asked = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/latest.json')).length"
            seen[name]["isAsked"] = browser.wait(f"{asked} >= 3", 30)
        seen[name]["live"] = browser.evaluate("document.getElementById('live').textContent")
        seen[name]["requests"] = browser.requests[made:]
    return seen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("url")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--scheme", default="light")
    parser.add_argument("--picture")
    parser.add_argument("--events", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="the whole page in the picture")
    parser.add_argument("--restarts", action="store_true", help="says 'watching' and then 'gone' on standard error, and waits until the server is back")
    parser.add_argument("--ways", action="store_true", help="hidden, on paper, by its link and with ?refresh=1, too")
    parser.add_argument("--scale", type=float, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(options.program, profile)
        try:
            target = browser.call("Target.createTarget", url="about:blank")["targetId"]
            browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.call(domain + ".enable")
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=options.width, height=options.height, deviceScaleFactor=options.scale,
                mobile=options.width < 600)
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": options.scheme}])
            browser.call("Page.navigate", url=options.url)
            has_events = browser.wait(f"Number(document.body && document.body.dataset.events || 0) >= {options.events}", 90)
            seen = browser.evaluate(LOOK)
            seen["hasEvents"] = has_events
            if options.restarts:
                errors = len(browser.console)
                print("watching", file=sys.stderr, flush=True)
                seen["sawTheEnd"] = browser.wait("document.getElementById('live').textContent.includes('again')", 90)
                print("gone", file=sys.stderr, flush=True)
                at = browser.evaluate("Number(document.body.dataset.events)")
                seen["sawTheReturn"] = browser.wait(
                    f"Number(document.body.dataset.events) >= {at} + 3 && document.getElementById('live').textContent === 'live'", 120)
                # That nobody answered meanwhile is said by the browser itself, and is no error of the page.
                del browser.console[errors:]
            # The keyboard: into the first chart, a value read by arrows, away again.
            browser.evaluate("document.querySelector('.plot > svg')?.focus()")
            browser.key("ArrowLeft", 37)
            seen["tipByKeyboard"] = browser.evaluate("document.querySelector('.tip:not([hidden])')?.textContent ?? ''")
            browser.key("Escape", 27)
            seen["tipIsGone"] = browser.evaluate("!document.querySelector('.tip:not([hidden])')")
            browser.evaluate("document.activeElement.blur(); document.querySelector('a.skip').focus()")
            browser.key("Tab", 9)
            seen["afterSkipLink"] = browser.evaluate("document.activeElement.textContent")
            seen["withoutTable"] = browser.evaluate(
                "(async () => { const bad = []; for (const c of document.querySelectorAll('#charts [data-chart]')) { if (!Number(c.dataset.points)) continue;"
                " const d = c.querySelector('details'); if (!d) { bad.push(c.dataset.chart); continue; } d.open = true; await new Promise(r => setTimeout(r, 50));"
                " if (!c.querySelectorAll('details tbody tr').length) bad.push(c.dataset.chart + ': empty'); d.open = false; } return bad; })()")
            seen["tableRows"] = browser.evaluate(
                "(() => { const d = document.querySelector('details'); if (!d) return 0; d.open = true; return new Promise(r => setTimeout(() => { const n = d.querySelectorAll('tbody tr').length; d.open = false; r(n); }, 300)); })()")
            if options.picture:
                browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
                values = {"format": "png", "captureBeyondViewport": options.full}
                if options.full:
                    size = browser.call("Page.getLayoutMetrics")["cssContentSize"]
                    values["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
                with open(options.picture, "wb") as file:
                    file.write(base64.b64decode(browser.call("Page.captureScreenshot", **values)["data"]))
            if options.ways:
                seen["ways"] = ways(browser, options)
            seen["console"] = browser.console
            seen["requests"] = browser.requests
            print(json.dumps(seen))
        finally:
            browser.process.terminate()
            try:
                browser.process.wait(10)
            except subprocess.TimeoutExpired:
                browser.process.kill()


main()
