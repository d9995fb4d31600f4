"""Keys and roles at the door, against a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.routes.access import FAILURES, document, need_of
from tests.app.guarded import ADMIN, PROTOCOL, USER, echo, from_address, guarded, hidden, key
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.synthetic import colonoscopy, encode

FRAME = encode(colonoscopy())
PUBLIC = ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"]
WRONG = "pp_" + "w" * 43


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[httpx.Client]:
    with guarded(tmp_path_factory.mktemp("keys"), models_dir, cors_origins="https://a.example") as client:
        yield client


@pytest.mark.parametrize("path", PUBLIC)
def test_public_paths_need_no_key(closed: httpx.Client, path: str) -> None:
    assert closed.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/segment"), ("GET", "/v1/models"), ("POST", "/benchmark"), ("GET", "/metrics"), ("GET", "/absent")],
)
def test_everything_else_needs_one(closed: httpx.Client, method: str, path: str) -> None:
    response = closed.request(method, path)
    problem = check(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert problem["request_id"] == response.headers["x-request-id"]
    check(closed.request(method, path, headers=key(WRONG) | from_address("10.1.0.1")), 401, "unauthorized")


@pytest.mark.parametrize(
    "headers", [key(USER), {"authorization": f"Bearer {USER}"}, {"authorization": f"bearer  {USER}"}]
)
def test_a_key_opens(closed: httpx.Client, headers: dict[str, str]) -> None:
    assert closed.get("/v1/models", headers=headers).status_code == 200
    assert closed.post("/v1/segment", files={"file": FRAME}, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"authorization": f"Basic {USER}"}, {"cookie": f"key={USER}"}, key(USER[:-1])])
def test_other_ways_do_not(closed: httpx.Client, headers: dict[str, str]) -> None:
    check(closed.get("/v1/models", headers=headers | from_address("10.1.0.2")), 401, "unauthorized")
    check(closed.get("/v1/models", params={"key": USER}), 401, "unauthorized")


def test_models_are_controlled_with_an_admin_key(closed: httpx.Client) -> None:
    for method, path in (
        ("POST", "/v1/models/red-dense/1/load"),
        ("PUT", "/v1/models/default"),
        ("POST", "/v1/models/rescan"),
    ):
        check(closed.request(method, path, headers=key(USER)), 403, "forbidden")
        assert closed.request(method, path, headers=key(ADMIN)).status_code not in (401, 403)
    refused = closed.post("/v2/repository/models/red-dense/unload", headers=key(USER))
    assert (refused.status_code, list(refused.json())) == (403, ["error"])
    assert closed.get("/v1/models", headers=key(ADMIN)).status_code == 200


def test_model_control_without_keys_is_shut_unless_opened(serve: Serve) -> None:
    check(serve().post("/v1/models/red-dense/load"), 403, "forbidden")
    assert serve(model_control="open").post("/v1/models/red-dense/load").status_code != 403


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/", "public"),
        ("GET", "/web/page.js", "public"),
        ("GET", "/web", "public"),
        ("GET", "/webhook", "user"),
        ("GET", "/docs/files/swagger-ui.css", "public"),
        ("GET", "/v2/health/live", "public"),
        ("GET", "/healthz/", "user"),
        ("GET", "/HEALTHZ", "user"),
        ("GET", "/v2", "user"),
        ("GET", "/v1/stream", "user"),
        ("POST", "/v2/models/red/infer", "user"),
        ("GET", "/v1/models/red", "user"),
        ("PUT", "/v1/models/default", "admin"),
        ("PATCH", "/v1/models/red/1", "admin"),
        ("POST", "/v1/models/red\n/load", "admin"),
        ("DELETE", "/benchmark/7f3a", "admin"),
        ("DELETE", "/benchmark/7f\n3a", "admin"),
        ("GET", "/benchmark/7f3a", "user"),
        ("POST", "/v2/repository/index", "user"),
        ("POST", "/v2/repository/models/red/load", "admin"),
        ("POST", "/v2/repository/models/red/versions/1/unload", "admin"),
        ("POST", "/v2/repository/models/r\ned/load/", "admin"),
    ],
)
def test_rules(method: str, path: str, need: str) -> None:
    assert need_of(method, path) == need


def test_nothing_of_the_body_is_read_without_a_key(closed: httpx.Client) -> None:
    """A client that waits for `100 Continue` gets the refusal instead."""
    assert closed.base_url.port is not None
    with socket.create_connection((closed.base_url.host, closed.base_url.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("way", ["header", "bearer", "subprotocol"])
def test_websocket_with_a_key(closed: httpx.Client, way: str) -> None:
    headers = {"header": key(USER), "bearer": {"authorization": f"Bearer {USER}"}, "subprotocol": {}}[way]
    offered = [PROTOCOL, hidden(USER)] if way == "subprotocol" else [PROTOCOL]
    with echo(closed, headers, *offered) as connection:
        assert connection.subprotocol == PROTOCOL
        assert json.loads(connection.recv()) == [PROTOCOL]  # the app never sees the key
        connection.send("frame")
        assert connection.recv() == "frame"
        assert connection.response is not None
        assert connection.response.headers["x-request-id"]


@pytest.mark.parametrize("offered", [[], [PROTOCOL], [PROTOCOL, hidden(WRONG)], [PROTOCOL, "polyprune.key.!"]])
def test_websocket_is_refused_before_it_is_accepted(closed: httpx.Client, offered: list[str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        echo(closed, from_address("10.1.0.3"), *offered)
    response = refused.value.response
    assert response.status_code == 401
    problem = json.loads(response.body)
    assert problem["type"] == "urn:polyprune:problem:unauthorized"
    assert problem["request_id"] == response.headers["x-request-id"]


def test_many_wrong_keys_of_one_address(closed: httpx.Client) -> None:
    here = from_address("10.1.0.9")
    answers = [closed.get("/v1/models", headers=key(WRONG) | here) for _ in range(FAILURES + 50)]
    assert [response.status_code for response in answers[:FAILURES]] == [401] * FAILURES
    slowed = next(response for response in answers if response.status_code == 429)
    check(slowed, 429, "too-many-failures")
    assert int(slowed.headers["retry-after"]) >= 1
    assert slowed.headers["connection"] == "close"
    # Neither another address nor the right key from this one is held up by it.
    assert closed.get("/v1/models", headers=key(WRONG) | from_address("10.1.0.10")).status_code == 401
    assert closed.get("/v1/models", headers=key(USER) | here).status_code == 200


def test_many_wrong_keys_of_one_subscriber(closed: httpx.Client) -> None:
    """A /64 of IPv6 is one caller: it has more addresses than could ever be counted."""
    tries = [
        closed.get("/v1/models", headers=key(WRONG) | from_address(f"2001:db8:1:2::{number:x}")).status_code
        for number in range(FAILURES + 50)
    ]
    assert tries[:FAILURES] == [401] * FAILURES
    assert 429 in tries


def test_metrics_name_the_key_and_count_refusals(closed: httpx.Client) -> None:
    closed.get("/v1/models", headers=key(USER))
    closed.get("/v1/models")
    text = closed.get("/metrics", headers=key(USER)).text
    assert 'polyprune_key_requests_total{key="clinic-a",status="200"}' in text
    assert 'polyprune_refusals_total{type="unauthorized"}' in text
    assert USER not in text


def test_documentation_says_what_each_operation_needs(closed: httpx.Client) -> None:
    schema = closed.get("/openapi.json").json()
    assert set(schema["components"]["securitySchemes"]) == {"X-API-Key", "Bearer"}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            public = path in PUBLIC
            assert ("security" not in operation) == public, path
            assert ({"401", "429"} <= set(operation["responses"])) != public


def test_documentation_of_model_control() -> None:
    schema = {"components": {}, "paths": {"/v1/models/default": {"get": {"responses": {}}, "put": {"responses": {}}}}}
    document(schema)
    answers = {
        method: set(operation["responses"]) for method, operation in schema["paths"]["/v1/models/default"].items()
    }
    assert answers == {"get": {"401", "429"}, "put": {"401", "403", "429"}}
