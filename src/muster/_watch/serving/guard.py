"""Who may ask, and what: this user's own browser, about nothing but reading; pages of others get no answer."""

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

from .peers import is_stranger

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS: Final = "/metrics"
_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuse what is not this user's browser on this computer, before anything looks at the request."""

    def __init__(self, app: "ASGIApp", *, token: str = "") -> None:
        """Stand before an application; whoever shows the ``token``, where there is one, may read the metrics."""
        self._app = app
        self._token = token

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refusal = _refusal(scope, token=self._token)

        async def guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in _HEADERS.items())]
            await send(message)

        if refusal is None:
            await self._app(scope, receive, guarded)
        else:
            status, text = refusal
            await PlainTextResponse(text, status)(scope, receive, guarded)


def _refusal(scope: "Scope", *, token: str) -> tuple[int, str] | None:
    """Find the reason to refuse a request, if there is one."""
    port = scope["server"][1]
    hosts = _all(scope, b"host")
    if len(hosts) != 1 or not _is_here(hosts[0], port):
        return 400, "This page answers to localhost only."
    if any(not _is_own(origin, port) for origin in _all(scope, b"origin")):
        return 403, "Pages from elsewhere get no answer here."
    if any(site not in {"same-origin", "none"} for site in _all(scope, b"sec-fetch-site")) and not _is_visit(scope):
        return 403, "Pages from elsewhere get no answer here."
    if scope["method"] not in {"GET", "HEAD"}:
        return 405, "This page can only be read."
    if not (scope["path"] == METRICS and _shows(scope, token)) and _is_of_a_stranger(scope):
        return 403, "This page is another user's."
    return None


def _is_of_a_stranger(scope: "Scope") -> bool:
    return scope["client"] is not None and is_stranger(tuple(scope["client"]), tuple(scope["server"]))


def _shows(scope: "Scope", token: str) -> bool:
    """Tell whether a request shows the token; none does where there is no token."""
    return bool(token) and any(
        hmac.compare_digest(shown.encode("latin-1"), f"Bearer {token}".encode())
        for shown in _all(scope, b"authorization")
    )


def _all(scope: "Scope", name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_visit(scope: "Scope") -> bool:
    """Tell whether somebody follows a link to here, which shows the page to them and to nobody else."""
    return _all(scope, b"sec-fetch-mode") == ["navigate"] and _all(scope, b"sec-fetch-dest") == ["document"]


def _is_here(host: str, port: int) -> bool:
    try:
        told = urlsplit(f"//{host}")
        asked = told.port
    except ValueError:
        return False
    return told.hostname in _NAMES and asked in {None, port} and told.netloc == host and "@" not in host


def _is_own(origin: str, port: int) -> bool:
    scheme, _, host = origin.partition("://")
    try:
        return scheme == "http" and _is_here(host, port) and urlsplit(f"//{host}").port == port
    except ValueError:
        return False
