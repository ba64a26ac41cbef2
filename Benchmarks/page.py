"""The page of the benchmarks: a results page as the applications make that Headrace stands in front of.

38,995 bytes of HTML, the same at each run, of which `gzip -6` makes about 8,250: the figures of the system that we replace.
"""

import random

PAGE_BYTES = 38_995

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Scan results</title>
<link rel="stylesheet" href="/static/scanner.css">
<script src="/static/scanner.js" defer></script>
</head>
<body>
<nav class="top"><a href="/">Hosts</a> <a href="/scans" class="active">Scans</a> <a href="/reports">Reports</a></nav>
<main>
<h1>Scan results</h1>
<table class="results">
<thead><tr><th>Severity</th><th>Host</th><th>Service</th><th>Finding</th><th>First seen</th><th>Reference</th></tr></thead>
<tbody>
"""
FOOT = "</tbody>\n</table>\n</main>\n<footer><p>Scanner 4.2</p></footer>\n</body>\n</html>\n"

SEVERITIES = ["critical", "high", "medium", "low", "info"]
SERVICES = ["ssh", "http", "https", "postgresql", "smtp", "imap", "dns", "redis", "rdp", "smb", "ldap", "snmp"]
SUBJECTS = ["certificate", "cipher suite", "protocol version", "default password", "directory listing", "open relay",
            "banner", "session cookie", "header", "patch level", "host key", "community string", "redirect", "upload form"]
FAULTS = ["expired on", "is weaker than allowed since", "was disclosed by", "can be guessed in", "is missing on",
          "is reachable from", "was not rotated since", "is self-signed by", "accepts anonymous access at",
          "leaks its version through", "is shared between", "was last changed with"]


def row(dice):
    severity, service = dice.choice(SEVERITIES), dice.choice(SERVICES)
    host = f"10.{dice.randrange(32)}.{dice.randrange(256)}.{dice.randrange(256)}"
    finding = f"The {dice.choice(SUBJECTS)} {dice.choice(FAULTS)} {dice.choice(SERVICES)}-{dice.randrange(4096):03x}"
    seen = f"2025-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02} {dice.randrange(24):02}:{dice.randrange(60):02}"
    reference = f"CVE-{dice.randrange(2014, 2026)}-{dice.randrange(1000, 60000)}"
    fingerprint = f"{dice.getrandbits(200):0{50}x}"
    return (f'<tr class="{severity}" data-fingerprint="{fingerprint}"><td><span class="badge badge-{severity}">{severity}</span></td>'
            f'<td><a href="/hosts/{host}">{host}</a></td><td>{service}</td><td>{finding}</td>'
            f'<td><time>{seen}</time></td><td><a href="https://nvd.nist.gov/vuln/detail/{reference}">{reference}</a></td></tr>\n')


def page():
    dice = random.Random(2)
    text = HEAD
    while len(text) + len(FOOT) + 400 < PAGE_BYTES:
        text += row(dice)
    # The rest is a comment of the template, so that the size is exact.
    rest = PAGE_BYTES - len(text) - len(FOOT) - len("<!--  -->\n")
    return (text + "<!-- " + ("page 1 of 12, sorted by severity; " * 20)[:rest] + " -->\n" + FOOT).encode()


if __name__ == "__main__":
    import sys

    sys.stdout.buffer.write(page())
