"""A Django project in one file: `python3 django_app.py runserver`. Its cache framework and its views use the same server."""

import os
import sys
import time

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import JsonResponse
from django.urls import path

from headrace_cache import RedisCache, cache_response

URL = os.environ.get("CACHE_URL", "redis://127.0.0.1:6379/0")
settings.configure(
    SECRET_KEY="an example", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False,
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL}})
django.setup()

cache = RedisCache(URL, prefix="shop:")


@cache_response(ttl=60, cache=cache)
def home(request):
    return JsonResponse({"computed": time.time()})


urlpatterns = [path("", home)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
