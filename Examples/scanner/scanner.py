"""The sample application: a vulnerability scanner's web pages, as many a team has them.

Flask, psycopg2 and PostgreSQL; nothing here knows of Headrace. Each page says in its own header fields how long it may
be kept, and by whom: that is all that a cache in front of it goes by. The application does not compress, and
connects to its database once per request; both are what one finds in the field, and what Headrace is there for.

With CACHE_URL, results are kept in a cache of Redis' protocol as well, through the helper in clients/python; it is what an application does
that asks its database less.

Settings come from the environment: DATABASE_URL, SECRET_KEY, CACHE_URL.
"""

import hashlib
import os
import pathlib
import re
import sys

import psycopg2
import psycopg2.extras
from flask import (Flask, abort, g, jsonify, make_response, redirect, render_template, request,
                   send_from_directory, session, url_for)
from werkzeug.security import check_password_hash

HERE = pathlib.Path(__file__).resolve().parent
STATIC = HERE / "static"
# The font comes from Debian's fonts-dejavu-core rather than from this folder; without it the browser takes its own.
FONTS = pathlib.Path("/usr/share/fonts/truetype/dejavu")

SEVERITIES = ("critical", "high", "medium", "low")
# Makes pages of 38 to 41 KB, which is what the measurements of Headrace are about.
FINDINGS_PER_PAGE = 107

application = Flask(__name__, static_folder=None)
application.secret_key = os.environ["SECRET_KEY"]
application.config["SESSION_COOKIE_SAMESITE"] = "Lax"
application.jinja_env.trim_blocks = True
application.jinja_env.lstrip_blocks = True


# ---- database --------------------------------------------------------------------------------------------------------

def database():
    """The request's own connection: opened at its first query, closed with it."""
    if "connection" not in g:
        g.connection = psycopg2.connect(os.environ["DATABASE_URL"], application_name="scanner",
                                        cursor_factory=psycopg2.extras.RealDictCursor)
    return g.connection


@application.teardown_request
def close_connection(_):
    connection = g.pop("connection", None)
    if connection is not None:
        connection.close()


TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_comment():
    """Which request a statement is of, as sqlcommenter writes it: for whoever reads it on the way to the database."""
    trace = request.headers.get("traceparent", "")
    return f" /*traceparent='{trace}'*/" if TRACE.fullmatch(trace) else ""


def rows(sql, **values):
    with database().cursor() as cursor:
        cursor.execute(sql + trace_comment(), values)
        return cursor.fetchall()


def row(sql, **values):
    found = rows(sql, **values)
    return found[0] if found else None


# ---- cache -----------------------------------------------------------------------------------------------------------

if os.environ.get("CACHE_URL"):
    sys.path.append(str(HERE.parent.parent / "clients" / "python"))
    from headrace_cache import RedisCache, cache_response

    cache = RedisCache(os.environ["CACHE_URL"], prefix="scanner:")
else:
    cache = None


def cached(ttl, tags):
    """Keeps what a function returns in the cache, if there is one."""
    return cache_response(ttl=ttl, tags=tags, cache=cache) if cache else lambda function: function


# ---- what is known of a scan -----------------------------------------------------------------------------------------

def get_scan(scan_id):
    return row("SELECT id, network, profile, started_at, finished_at FROM scans WHERE id = %(id)s", id=scan_id) or abort(404)


def get_severities(scan_id):
    counts = {r["severity"]: r["count"] for r in rows("""
        SELECT c.severity, count(*) FROM findings f JOIN checks c ON c.id = f.check_id
        WHERE f.scan_id = %(id)s GROUP BY c.severity""", id=scan_id)}
    return {severity: counts.get(severity, 0) for severity in SEVERITIES}


def get_worst_hosts(scan_id):
    return rows("""
        SELECT h.name, h.address, h.system, count(*) AS findings, sum(c.score) AS risk
        FROM findings f JOIN hosts h ON h.id = f.host_id JOIN checks c ON c.id = f.check_id
        WHERE f.scan_id = %(id)s GROUP BY h.id ORDER BY risk DESC, h.name LIMIT 6""", id=scan_id)


def get_trend(scan):
    """The last dozen scans of the same network up to this one, oldest first, each with its risk."""
    return rows("""
        SELECT s.id, s.started_at, count(*) AS findings, sum(c.score) AS risk
        FROM (SELECT id, started_at FROM scans WHERE network = %(network)s AND started_at <= %(at)s
              ORDER BY started_at DESC LIMIT 12) s
        JOIN findings f ON f.scan_id = s.id JOIN checks c ON c.id = f.check_id
        GROUP BY s.id, s.started_at ORDER BY s.started_at""", network=scan["network"], at=scan["started_at"])


def get_findings(scan, limit=None):
    """The findings of a scan, worst first, each with the time when the same problem was first seen on that host."""
    return rows("""
        SELECT listed.*, (
            SELECT min(s.started_at) FROM findings e JOIN scans s ON s.id = e.scan_id
            WHERE e.host_id = listed.host_id AND e.check_id = listed.check_id AND e.port = listed.port
              AND s.started_at <= %(at)s) AS first_seen
        FROM (
            SELECT f.id, f.host_id, f.check_id, h.name AS host, host(h.address) AS address, f.port, c.code, c.severity, c.score,
                   c.title, f.evidence, c.advice, f.state
            FROM findings f JOIN hosts h ON h.id = f.host_id JOIN checks c ON c.id = f.check_id
            WHERE f.scan_id = %(id)s
            ORDER BY c.score DESC, h.name, c.code, f.id LIMIT %(limit)s) listed
        ORDER BY score DESC, host, code, id""", id=scan["id"], at=scan["started_at"], limit=limit)


@cached(ttl=5, tags=lambda scan_id: [f"scan:{scan_id}"])
def get_scan_results(scan_id):
    """All that the JSON interface says of a scan."""
    scan = get_scan(scan_id)
    findings = get_findings(scan)
    for finding in findings:
        finding["score"] = float(finding["score"])
        finding["first_seen"] = finding["first_seen"].isoformat()
    return {
        "scan": {**scan, "started_at": scan["started_at"].isoformat(), "finished_at": scan["finished_at"].isoformat()},
        "severities": get_severities(scan_id),
        "findings": findings,
    }


# ---- public pages: each with a lifetime of its own -------------------------------------------------------------------

def cacheable(response, cache_control):
    """Marks `response` as storable by anyone, with a validator; answers 304 to whoever has it already."""
    response = make_response(response)
    response.headers["Cache-Control"] = cache_control
    response.add_etag()
    return response.make_conditional(request)


@cached(ttl=10, tags=["findings"])
def render_overview():
    totals = row("""
        SELECT (SELECT count(*) FROM hosts) AS hosts, (SELECT count(*) FROM scans) AS scans,
               (SELECT count(*) FROM findings) AS findings""")
    latest = rows("""
        SELECT s.id, s.network, s.profile, s.started_at, count(*) AS findings, sum(c.score) AS risk,
               count(*) FILTER (WHERE c.severity = 'critical') AS critical, count(*) FILTER (WHERE c.severity = 'high') AS high,
               count(*) FILTER (WHERE c.severity = 'medium') AS medium, count(*) FILTER (WHERE c.severity = 'low') AS low
        FROM scans s JOIN findings f ON f.scan_id = s.id JOIN checks c ON c.id = f.check_id
        WHERE s.id > (SELECT max(id) FROM scans) - 24
        GROUP BY s.id ORDER BY s.started_at DESC, s.id DESC""")
    common = rows("""
        SELECT c.code, c.title, c.severity, count(*) AS findings, count(DISTINCT f.host_id) AS hosts
        FROM findings f JOIN checks c ON c.id = f.check_id WHERE f.state = 'open'
        GROUP BY c.id ORDER BY findings DESC, c.code LIMIT 8""")
    return render_template("overview.html", totals=totals, latest=latest, common=common)


@application.get("/")
def overview():
    return cacheable(render_overview(), "public, max-age=10")


@cached(ttl=10, tags=lambda scan_id: [f"scan:{scan_id}"])
def render_scan(scan_id):
    scan = get_scan(scan_id)
    return render_template("scan.html", scan=scan, severities=get_severities(scan_id), hosts=get_worst_hosts(scan_id),
                           trend=get_trend(scan), findings=get_findings(scan, limit=FINDINGS_PER_PAGE))


@application.get("/scans/<int:scan_id>")
def scan_page(scan_id):
    return cacheable(render_scan(scan_id), "public, max-age=10")


@application.get("/api/scans/<int:scan_id>")
def scan_api(scan_id):
    return cacheable(jsonify(get_scan_results(scan_id)), "public, max-age=5")


@application.post("/scans/<int:scan_id>/findings")
def add_finding(scan_id):
    get_scan(scan_id)
    port = request.form.get("port", type=int)
    if port is None or not 1 <= port <= 65535:
        abort(400, "port: a number from 1 to 65535 is needed")
    added = row("""
        INSERT INTO findings (scan_id, host_id, check_id, port, evidence)
        SELECT %(scan)s, h.id, c.id, %(port)s, %(evidence)s FROM hosts h, checks c
        WHERE h.name = %(host)s AND c.code = %(check)s RETURNING id""",
        scan=scan_id, port=port, host=request.form.get("host"), check=request.form.get("check"),
        evidence=request.form.get("evidence", "").strip()[:200] or "reported by hand")
    if added is None:
        abort(400, "host and check: both must be known, as in web-003.example.net and TLS-001")
    database().commit()
    if cache:
        cache.invalidate(f"scan:{scan_id}", "findings")
    return redirect(url_for("scan_page", scan_id=scan_id), 303)


# ---- private pages: never to be kept ---------------------------------------------------------------------------------

def private(response):
    response = make_response(response)
    response.headers["Cache-Control"] = "private, no-store"
    return response


@application.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        return private(render_template("login.html", failed=False))
    user = row("SELECT name, password_hash FROM users WHERE name = %(name)s", name=request.form.get("name"))
    if user is None or not check_password_hash(user["password_hash"], request.form.get("password", "")):
        return private((render_template("login.html", failed=True), 403))
    session["user"] = user["name"]
    return private(redirect(url_for("account"), 303))


@application.get("/account")
def account():
    user = row("SELECT name, full_name FROM users WHERE name = %(name)s", name=session.get("user"))
    if user is None:
        return private(redirect(url_for("login"), 303))
    return private(render_template("account.html", user=user))


@application.post("/logout")
def logout():
    session.clear()
    return private(redirect(url_for("overview"), 303))


@application.get("/healthz")
def health():
    rows("SELECT 1")
    response = make_response("ok\n")
    response.mimetype = "text/plain"
    response.headers["Cache-Control"] = "no-store"
    return response


@application.errorhandler(400)
@application.errorhandler(404)
@application.errorhandler(405)
def refused(error):
    response = error.get_response()
    response.data = render_template("error.html", error=error)
    response.mimetype = "text/html"
    response.headers["Cache-Control"] = "no-store"
    return response


# ---- assets: for ever, under a name that changes with them -----------------------------------------------------------

def asset_folder(name):
    return FONTS if name.endswith(".ttf") else STATIC


def fingerprint(name):
    path = asset_folder(name) / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10] if path.is_file() else "none"


FINGERPRINTS = {name: fingerprint(name) for name in
                ("scanner.css", "scanner.js", "logo.svg", "favicon.png", "DejaVuSansMono.ttf")}


@application.template_global()
def asset(name):
    return f"/static/{name}?v={FINGERPRINTS[name]}"


@application.get("/static/<name>")
def static_asset(name):
    if name not in FINGERPRINTS:
        abort(404)
    response = send_from_directory(asset_folder(name), name)
    # Under any other query, or none, the same name may mean other bytes tomorrow.
    is_fingerprinted = request.args.get("v") == FINGERPRINTS[name]
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_fingerprinted else "public, max-age=60"
    return response
