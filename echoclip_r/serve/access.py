"""Who may ask, by which name, and what every answer says to the browser.

Around the whole application: a request is refused whose Host header names another machine (a page
elsewhere could point its name here), that has no token or user where one is asked for, that comes
from another site's page, or whose body is too long or too slow. What goes wrong inside is logged by
its kind and place, never by its message, which could hold a report.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from echoclip_r.errors import OptionError

__all__ = ["COOKIE", "Access", "BadBody", "Guard", "is_loopback", "user_of"]

_log = logging.getLogger(__name__)

COOKIE = "echoclip_session"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = ("/login", "/static/")
_LEAST_TOKEN = 16
_BODY_SECONDS = 120.0

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex",
}


class BadBody(Exception):
    """A request's body is too long, or did not come in time.

    Attributes:
        status: of the answer.
        reason: in words.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: names in the Host header that are this server, in lower case, without a port.
        token: what a reader must give once, or None.
        user_header: header in which a reverse proxy names the reader, or None.
        proxies: addresses from which that header is believed.
        max_body: longest body of a request, in bytes.

    Raises:
        OptionError: the token is too short to be one.
    """

    hosts: frozenset[str]
    token: str | None = None
    user_header: str | None = None
    proxies: frozenset[str] = _LOOPBACK
    max_body: int = 256 << 20

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < _LEAST_TOKEN:
            raise OptionError(
                f"the token has {len(self.token)} characters; use at least {_LEAST_TOKEN}, such as "
                "those that `python -c 'import secrets; print(secrets.token_urlsafe())'` prints"
            )

    @property
    def most(self) -> str:
        """How long a request's body may be, in words."""
        return f"at most {self.max_body >> 20} MB are taken"

    def is_token(self, text: str) -> bool:
        """Whether a text is the token."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())

    def session(self) -> str:
        """What a browser keeps in place of the token."""
        assert self.token is not None
        return hmac.new(self.token.encode(), b"session", hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def user_of(scope: Scope) -> str:
    """Who asks: the name that the proxy gives, `token` for who has that, "" for anybody."""
    return str(scope.get("echoclip_user", ""))


class Guard:
    """The middleware; see the head of this module."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, safely)
            return
        try:
            await self._app(scope, self._limited(receive), safely)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error(
                "%s in %s, line %s (the message may hold a report and is not logged)",
                type(error).__name__, place.filename, place.lineno,
            )  # fmt: skip

    def _refuse(self, scope: Scope) -> Response | None:
        access, headers = self._access, Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or _name(headers["host"]) not in access.hosts:
            return PlainTextResponse(
                "This server is not known by that name. If it should be: echoclip-r serve "
                "--allow-host NAME",
                421,
            )
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Only GET, HEAD and POST are answered.", 405)
        if scope["method"] == "POST" and _is_foreign(headers):
            return PlainTextResponse("This was sent by a page of another site.", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > access.max_body:
            return PlainTextResponse(
                f"What was sent is too long; {access.most}.",
                413,
                {"Connection": "close"},
            )
        return self._know(scope, headers)

    def _know(self, scope: Scope, headers: Headers) -> Response | None:
        """Say who asks, or refuse who is not known."""
        access = self._access
        if access.user_header is not None:
            peer = (scope.get("client") or ("",))[0]
            names = headers.getlist(access.user_header)
            if peer not in access.proxies or len(names) != 1 or not names[0].strip():
                return PlainTextResponse(
                    "Only the hospital's login leads here; this request did not come from it.", 401
                )
            scope["echoclip_user"] = names[0].strip()[:200]
            return None
        if access.token is None or scope["path"].startswith(_OPEN):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and access.is_token(given.strip()):
            scope["echoclip_user"] = "token"
            return None
        if hmac.compare_digest(_cookie(headers).encode(), access.session().encode()):
            scope["echoclip_user"] = "token"
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        return PlainTextResponse("A token is asked for; see /login.", 401)

    def _limited(self, receive: Receive) -> Receive:
        """A body that ends with an error where it is too long or too slow."""
        num_bytes = 0
        # Of the whole body, so that a byte now and then does not keep a place for ever.
        end: float | None = None
        is_whole = False

        async def limited() -> Message:
            nonlocal num_bytes, end, is_whole
            if is_whole:  # what is waited for now is the end of the connection
                return await receive()
            loop = asyncio.get_running_loop()
            end = loop.time() + _BODY_SECONDS if end is None else end
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise BadBody(408, "what was sent came too slowly") from None
            if message["type"] == "http.request":
                num_bytes += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)
                if num_bytes > self._access.max_body:
                    raise BadBody(413, f"what was sent is too long; {self._access.most}")
            return message

        return limited


def _name(host: str) -> str:
    """The name in a Host header, without a port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page sends this."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    # A proxy may end TLS, so the scheme is not compared.
    return origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value
