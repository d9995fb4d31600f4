"""Who may do what: one table of rules, and the middleware that checks keys against it before anything is read."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Forbidden, TooManyFailures, TooManyRequests, Unauthorized
from app.keys import Key, Keys
from app.limits import Buckets, Limits, network_of
from app.routes.problems import documented, failures, is_inference_protocol

Need = Literal["public", "user", "admin"]

CHANGES = ("POST", "PUT", "PATCH", "DELETE")
# The first rule that fits holds; what fits none needs a user's key. (DOTALL: a line break must not dodge a rule.)
RULES: tuple[tuple[Need, tuple[str, ...], re.Pattern[str]], ...] = (
    ("public", (), re.compile(r"/|/web(/.*)?|/docs(/.*)?|/openapi\.json|/favicon\.ico", re.DOTALL)),
    ("public", (), re.compile(r"/healthz|/readyz|/v2/health/.*", re.DOTALL)),
    ("admin", (), re.compile(r"/v2/repository/.*/(un)?load/?", re.DOTALL)),
    ("admin", CHANGES, re.compile(r"/v1/models(/.*)?", re.DOTALL)),
    ("admin", ("DELETE",), re.compile(r"/benchmark/.*", re.DOTALL)),
)

CALLER = "polyprune.caller"  # where the scope holds it; absent on public paths
SUBPROTOCOL = "polyprune.key."  # browsers cannot set headers on a WebSocket: base64url of the key after this
BEARER = b"bearer "
# Wrong keys of one address: these at once, then one a second.
FAILURES = 20
FAILURES_A_SECOND = 1.0

SCHEMES = {
    "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


@dataclass(frozen=True)
class Caller:
    """For whom a request is worked on."""

    id: str  # the key's name, or where no keys are set the client's network
    key: str | None  # the key's name
    limits: Limits


class Access:
    """ASGI middleware: lets a request or a WebSocket pass if its key may do this, and raises otherwise.

    A right key always passes, however many wrong ones came from the same address: behind one proxy there are
    many clients, and none of them must be able to lock out the others. Too many wrong ones lose the
    connection with each try.
    """

    def __init__(self, app: ASGIApp, keys: Keys, limits: Limits, open_control: bool) -> None:
        self._app = app
        self._keys = keys
        self._callers = {key.name: Caller(key.name, key.name, key.limits) for key in keys.all}
        self._limits = limits
        self._open_control = open_control
        self._failures = Buckets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass.

        Raises:
            Unauthorized, TooManyFailures, Forbidden.
        """
        if scope["type"] != "lifespan":
            self._admit(scope, need_of(scope.get("method", "GET"), path_of(scope)))
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, need: Need) -> None:
        presented = take_key(scope)
        if need == "public":
            return
        if not self._keys.all:
            scope[CALLER] = Caller(network_of(address_of(scope)), None, self._limits)
            if need == "admin" and not self._open_control:
                raise Forbidden("Expected an admin key, and no keys are set here: set POLYPRUNE_KEYS_FILE.")
            return
        key = self._authenticate(presented, address_of(scope))
        scope[CALLER] = self._callers[key.name]
        if need == "admin" and key.role != "admin":
            raise Forbidden(f"Expected an admin key, and {key.name!r} is a user's: ask the operator for one.")

    def _authenticate(self, presented: bytes | None, address: str) -> Key:
        if presented is None:
            raise Unauthorized(Unauthorized.example)
        key = self._keys.find(presented)
        if key is None:
            self._note_failure(address)
            raise Unauthorized("No key of this service is like the one that was sent: ask the operator for one.")
        return key

    def _note_failure(self, address: str) -> None:
        bucket = self._failures.of(network_of(address), FAILURES_A_SECOND, FAILURES)
        wait = bucket.take(time.monotonic())
        if wait:
            raise TooManyFailures(TooManyFailures.example, retry_after=wait)


def need_of(method: str, path: str) -> Need:
    """The role that a request needs; `path` without the root path."""
    for need, methods, pattern in RULES:
        if pattern.fullmatch(path) and (not methods or method in methods):
            return need
    return "user"


def path_of(scope: Scope) -> str:
    """The path as the routes see it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def address_of(scope: Scope) -> str:
    """The client's address: behind a trusted proxy, the one that the proxy saw."""
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else "unknown"


def take_key(scope: Scope) -> bytes | None:
    """The key that a request brings, or None. A subprotocol that holds one is taken out of the scope."""
    offered: list[str] = scope.get("subprotocols", [])
    hidden = [name for name in offered if name.startswith(SUBPROTOCOL)]
    if hidden:
        scope["subprotocols"] = [name for name in offered if name not in hidden]
    key = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return bytes(value).strip()
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            key = bytes(value[len(BEARER) :]).strip()
    return _decoded(hidden[0].removeprefix(SUBPROTOCOL)) if key is None and hidden else key


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""  # no key is like it


def document(schema: Mapping[str, Any]) -> None:
    """Add to an OpenAPI schema what the rules ask of each operation."""
    schema["components"]["securitySchemes"] = SCHEMES
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            need = need_of(method.upper(), path)
            if need != "public":
                operation["security"] = [{name: []} for name in SCHEMES]
                errors = (Unauthorized, TooManyFailures, TooManyRequests, *((Forbidden,) if need == "admin" else ()))
                form = failures if is_inference_protocol(path) else documented
                for status, response in form(*errors).items():
                    operation["responses"].setdefault(str(status), response)
