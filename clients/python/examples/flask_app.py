"""A Flask application whose page is computed once in five minutes: `flask --app flask_app run`."""

import time

from flask import Flask

from headrace_cache import RedisCache, cache_response

cache = RedisCache(prefix="shop:")  # CACHE_URL, or 127.0.0.1:6379
application = app = Flask(__name__)


@cache_response(ttl=300, cache=cache, tags=lambda number: [f"product:{number}"], stale=60)
def describe(number):
    time.sleep(0.2)  # A slow query.
    return {"number": number, "computed": time.time()}


@app.get("/products/<int:number>")
def product(number):
    return describe(number)


@app.get("/")
@cache_response(ttl=60, cache=cache)
def home():
    return f"<p>computed at {time.time()}</p>"


@app.post("/products/<int:number>")
def change(number):
    cache.invalidate(f"product:{number}")
    return "", 204
