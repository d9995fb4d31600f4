"""CORS, security headers and request ids on a real server's answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from app.settings import Settings
from tests.app.guarded import USER, guarded, key
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.synthetic import colonoscopy, encode

FRAME = encode(colonoscopy())
ORIGIN = {"origin": "https://a.example"}
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("keys")
    with guarded(folder, models_dir, cors_origins="https://a.example, https://b.example") as client:
        yield client


def test_preflight_needs_no_key(shared: httpx.Client) -> None:
    response = shared.options("/v1/segment", headers=ORIGIN | ASKS)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://a.example"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "x-api-key,content-type"
    foreign = shared.options("/v1/segment", headers=ASKS | {"origin": "https://c.example"})
    assert foreign.status_code == 400
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize("headers", [{}, key(USER)])
def test_pages_may_read_answers_and_refusals(shared: httpx.Client, headers: dict[str, str]) -> None:
    response = shared.post("/v1/segment", files={"file": FRAME}, headers=headers | ORIGIN)
    assert response.status_code == (200 if headers else 401)
    assert response.headers["access-control-allow-origin"] == "https://a.example"
    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    assert {"x-polyprune-model", "server-timing", "x-request-id", "retry-after"} <= set(exposed)
    assert "access-control-allow-credentials" not in response.headers


def test_pages_may_read_every_documented_header(shared: httpx.Client) -> None:
    paths = shared.get("/openapi.json").json()["paths"]
    answers = [answer for path in paths.values() for asked in path.values() for answer in asked["responses"].values()]
    documented = {name.lower() for answer in answers for name in answer.get("headers", ())}
    assert {"server-timing", "x-polyprune-dense", "inference-header-content-length"} <= documented
    response = shared.get("/v1/models", headers=key(USER) | ORIGIN)
    assert documented <= set(response.headers["access-control-expose-headers"].lower().split(", "))


def test_no_cors_unless_it_is_set(client: httpx.Client) -> None:
    response = client.get("/v1/models", headers=ORIGIN)
    assert "access-control-allow-origin" not in response.headers
    assert client.options("/v1/segment", headers=ORIGIN | ASKS).status_code == 405


@pytest.mark.parametrize("origins", ["a.example", "https://a.example/", "https://a.example https://b.example", "*,*"])
def test_origins_that_no_browser_sends_are_refused(origins: str) -> None:
    with pytest.raises(ValidationError):
        Settings(cors_origins=origins)


@pytest.mark.parametrize("path", ["/", "/web/absent.js", "/docs", "/openapi.json", "/v1/models", "/absent", "/metrics"])
def test_every_answer_is_guarded(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_policies_of_pages_and_data(client: httpx.Client) -> None:
    page = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in page
    assert "img-src 'self' blob:;" in page
    assert "unsafe" not in page
    docs = client.get("/docs").headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline';" in docs
    assert "http" not in docs  # nothing from elsewhere
    assert client.get("/v1/models").headers["content-security-policy"].startswith("default-src 'none'")


def test_no_cache_keeps_frames_or_masks(client: httpx.Client) -> None:
    for output in ("mask", "overlay", "json"):
        response = client.post("/v1/segment", params={"output": output}, files={"file": FRAME})
        assert response.headers["cache-control"] == "no-store"
    assert client.post("/v1/segment", files={"file": b"no image"}).headers["cache-control"] == "no-store"
    assert "cache-control" not in client.get("/docs").headers


@pytest.mark.parametrize("sent", ["7f3a", "0192f3a1-7c5e-7d7a-b1c2-1234567890ab", "Root=1-67891233-abcdef", "a" * 128])
def test_a_sane_request_id_comes_back(client: httpx.Client, sent: str) -> None:
    headers = {"x-request-id": sent}
    assert client.get("/healthz", headers=headers).headers["x-request-id"] == sent
    assert client.get("/v1/models", headers=headers).headers["x-request-id"] == sent
    assert check(client.get("/absent", headers=headers), 404, "about:blank")["request_id"] == sent


@pytest.mark.parametrize("sent", [None, "", "a" * 129, "two words", 'quo"te', "a,b", "<script>"])
def test_any_other_is_replaced(client: httpx.Client, sent: str | None) -> None:
    headers = {} if sent is None else {"x-request-id": sent}
    made = [client.get("/healthz", headers=headers).headers.get_list("x-request-id") for _ in range(2)]
    assert [len(ids) for ids in made] == [1, 1]
    assert made[0] != made[1]
    assert all(len(ids[0]) == 32 and ids[0].isalnum() for ids in made)


def test_a_bug_answers_with_all_headers_and_keeps_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(cors_origins="https://a.example")
    monkeypatch.setattr("app.engine.Engine.run", lambda *_: 1 / 0)
    response = client.post("/v1/segment", files={"file": FRAME}, headers=ORIGIN)
    problem = check(response, 500, "about:blank")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert response.headers["access-control-allow-origin"] == "https://a.example"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "connection" not in response.headers
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
