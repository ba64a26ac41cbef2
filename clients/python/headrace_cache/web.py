"""Flask's and Django's responses as values that can be stored. Neither is imported here unless the application has."""

import base64
import sys

MARK = "headrace:response"


class NotStored(Exception):
    """A response that is for this one client: it goes out as it is, past the cache."""

    def __init__(self, response):
        super().__init__("not stored")
        self.response = response


class _FlaskRequest:
    def __init__(self, flask):
        self.flask = flask
        request = flask.request
        # A HEAD's response has no body to keep for a GET.
        self.is_cacheable = request.method == "GET" and "Authorization" not in request.headers
        self.path = f"{request.host}{request.full_path}"

    def normal(self, result):
        return self.flask.make_response(result)

    def is_session_used(self):
        return getattr(self.flask.session, "accessed", False)

    def response(self, status, fields, body):
        return self.flask.current_app.response_class(body, status=status, headers=fields)


class _DjangoRequest:
    def __init__(self, request):
        self.request = request
        self.is_cacheable = request.method == "GET" and "HTTP_AUTHORIZATION" not in request.META
        self.path = f"{request.get_host()}{request.get_full_path()}"

    def normal(self, result):
        if hasattr(result, "render") and not getattr(result, "is_rendered", True):
            result.render()
        return result

    def is_session_used(self):
        return getattr(getattr(self.request, "session", None), "accessed", False)

    def response(self, status, fields, body):
        from django.http import HttpResponse
        response = HttpResponse(body, status=status)
        for name in list(response.headers):
            del response.headers[name]
        for name, value in fields:
            response.headers[name] = value
        return response


def request_of(wrapper, args):
    """The request that a call of a view is for; `None` for any other function."""
    django = sys.modules.get("django.http")
    if django is not None:
        for candidate in args[:2]:  # The second one of a method's.
            if isinstance(candidate, django.HttpRequest):
                return _DjangoRequest(candidate)
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_request_context():
        request = flask.request
        view = flask.current_app.view_functions.get(request.endpoint)
        while view is not None:
            if view is wrapper:
                return _FlaskRequest(flask)
            view = getattr(view, "__wrapped__", None)
    return None


class Box:
    """A response on its way through the cache."""

    def __init__(self, request):
        self.request = request

    def put(self, result):
        """What a view returned, as what JSON can say. Raises NotStored, which the cache lets pass and stores nothing."""
        response = self.request.normal(result)
        headers = response.headers
        control = headers.get("Cache-Control", "").lower()
        vary = headers.get("Vary", "").lower()
        is_own = any(word in control for word in ("private", "no-store", "no-cache")) or "cookie" in vary or "*" in vary
        has_cookie = "Set-Cookie" in headers or bool(getattr(response, "cookies", None))
        is_streamed = getattr(response, "is_streamed", False) or getattr(response, "streaming", False)
        if response.status_code != 200 or is_own or has_cookie or is_streamed or self.request.is_session_used():
            raise NotStored(response)
        body = response.get_data() if hasattr(response, "get_data") else response.content
        fields = [[name, value] for name, value in headers.items()]
        return {MARK: 1, "status": response.status_code, "fields": fields, "body": base64.b64encode(body).decode()}

    def take(self, value):
        return self.request.response(value["status"], [tuple(field) for field in value["fields"]], base64.b64decode(value["body"]))
