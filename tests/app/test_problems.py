"""Every error over HTTP: its status, and its problem document (RFC 9457)."""

from __future__ import annotations

import gzip
import inspect
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app import errors
from app.settings import Settings
from tests.app.test_frames import lying_jpeg, png_bomb
from tests.conftest import Serve, running
from tests.synthetic import colonoscopy, encode

URL = "/v1/segment"
RAW = {"content-type": "application/octet-stream"}
FRAME = encode(colonoscopy())
JPEG = encode(colonoscopy(), "JPEG")


def check(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The whole of a problem document but its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    kind = f"urn:polyprune:problem:{slug}" if slug != "about:blank" else slug
    assert problem["type"] == kind, problem
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == response.request.url.path
    assert "Traceback" not in response.text
    return problem


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"just text", 415, "not-an-image"),
        (b"GIF89a", 415, "not-an-image"),
        (encode(Image.new("F", (8, 8)), "TIFF"), 415, "unsupported-frame"),
        (JPEG[:1], 415, "not-an-image"),
        (JPEG[:3], 422, "corrupt-frame"),
        (JPEG[: len(JPEG) // 2], 422, "corrupt-frame"),
        (JPEG[:-2], 422, "corrupt-frame"),
        (FRAME[: len(FRAME) // 2], 422, "corrupt-frame"),
        (FRAME[:20], 422, "corrupt-frame"),
        (lying_jpeg(4000, 4000), 422, "corrupt-frame"),
        (lying_jpeg(65_500, 65_500), 413, "frame-too-large"),
        (png_bomb(16_000), 413, "frame-too-large"),
        (b"", 422, "bad-body"),
    ],
)
@pytest.mark.parametrize("way", ["raw", "multipart"])
@pytest.mark.parametrize("output", ["mask", "overlay", "json"])
def test_bad_frames(client: httpx.Client, way: str, body: bytes, status: int, slug: str, output: str) -> None:
    sent: dict[str, Any] = {"content": body, "headers": RAW} if way == "raw" else {"files": {"file": ("f", body)}}
    check(client.post(URL, params={"output": output}, **sent), status, slug)


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"threshold": "1.01"}, "threshold"),
        ({"threshold": "-0.1"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"threshold": "inf"}, "threshold"),
        ({"threshold": "half"}, "threshold"),
        ({"output": "png"}, "output"),
        ({"treshold": "0.5"}, "treshold"),
        ({"threshold": ["0.1", "0.9"]}, "threshold"),
    ],
)
def test_bad_parameters(client: httpx.Client, params: dict[str, str | list[str]], names: str) -> None:
    problem = check(client.post(URL, params=params, content=FRAME, headers=RAW), 422, "bad-parameter")
    assert problem["detail"].startswith(f"{names}: ")


@pytest.mark.parametrize("model", ["absent", "red-dense/9", "../../etc/passwd", "red-dense/1/model.onnx", "", "%00"])
def test_unknown_model(client: httpx.Client, model: str) -> None:
    problem = check(client.post(URL, params={"model": model}, content=FRAME, headers=RAW), 404, "unknown-model")
    assert "red-dense/1, red-pruned/1" in problem["detail"]


@pytest.mark.parametrize(
    "sent",
    [
        {"files": [("image", ("f", FRAME))]},
        {"files": [("file", ("f", FRAME)), ("file", ("f", FRAME))]},
        {"files": [("file", ("f", FRAME)), ("other", ("f", FRAME))]},
        {"files": {"file": ("f", FRAME)}, "data": {"threshold": "0.5"}},
        {"files": {"file": (None, FRAME)}},
        {"content": b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": FRAME, "headers": {"content-type": "multipart/form-data"}},
        {"content": FRAME, "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {
            "content": b"--x\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n" + FRAME,
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        },
    ],
    ids=["other field", "twice", "two fields", "parameter", "text", "empty", "no boundary", "garbage", "cut"],
)
def test_bad_multipart(client: httpx.Client, sent: dict[str, Any]) -> None:
    check(client.post(URL, **sent), 422, "bad-body")


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", "video/mp4"])
def test_other_content_types(client: httpx.Client, kind: str) -> None:
    check(client.post(URL, content=FRAME, headers={"content-type": kind}), 415, "unsupported-media-type")


@pytest.mark.parametrize("path", [URL, f"{URL}/batch", "/v1/compare", "/benchmark"])
def test_a_coded_body_is_no_frame(client: httpx.Client, path: str) -> None:
    form = httpx.Request("POST", "http://x", files={"file": ("f", FRAME)})
    headers = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}
    response = client.post(path, content=gzip.compress(form.read()), headers=headers)
    assert "'gzip'" in check(response, 415, "unsupported-media-type")["detail"]


@pytest.fixture(scope="module")
def narrow(models_dir: Path) -> Iterator[httpx.Client]:
    """A service that takes 20 kB and 20 000 pixels."""
    with running(Settings(models_dir=models_dir, max_body_bytes=20_000, max_pixels=20_000)) as client:
        yield client


NOISE = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)


@pytest.mark.parametrize("way", ["raw", "multipart", "chunked", "benchmark"])
def test_body_limit_is_one_and_the_same(narrow: httpx.Client, way: str) -> None:
    data = encode(NOISE)
    assert len(data) > 40_000
    sent: dict[str, dict[str, Any]] = {
        "raw": {"url": URL, "content": data, "headers": RAW},
        "multipart": {"url": URL, "files": {"file": data}},
        "chunked": {"url": URL, "content": iter([data[:15_000], data[15_000:]]), "headers": RAW},
        "benchmark": {"url": "/benchmark", "files": {"file": data}},
    }
    problem = check(narrow.post(**sent[way]), 413, "body-too-large")
    assert "20000 bytes" in problem["detail"]
    assert narrow.post(URL, files={"file": FRAME}).status_code == 200


def test_declared_length_is_refused_before_the_body_is_sent(narrow: httpx.Client) -> None:
    """A client that waits for `100 Continue` gets the refusal instead."""
    host, port = narrow.base_url.host, narrow.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_pixel_limit(narrow: httpx.Client) -> None:
    data = encode(np.zeros((100, 201, 3), np.uint8))
    problem = check(narrow.post(URL, files={"file": data}), 413, "frame-too-large")
    assert "201 x 100" in problem["detail"]
    assert narrow.post(URL, files={"file": encode(np.zeros((100, 200, 3), np.uint8))}).status_code == 200


def test_client_that_leaves_early_harms_nobody(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc"
        )
    assert client.post(URL, files={"file": FRAME}).status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def test_no_model_ready(serve: Serve, tmp_path: Path) -> None:
    empty = serve(models_dir=tmp_path)
    check(empty.post(URL, files={"file": FRAME}), 503, "no-model-ready")
    check(empty.post(URL, params={"model": "red-dense"}, files={"file": FRAME}), 503, "no-model-ready")
    check(empty.post("/benchmark"), 503, "no-model-ready")
    assert check(empty.get("/readyz"), 503, "no-model-ready")["refused"] == []
    assert empty.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/absent", 404, None),
        ("GET", "/v1/segment", 405, "POST"),
        ("DELETE", "/benchmark", 405, "GET, POST"),
        ("PUT", "/benchmark/7f3a", 405, "GET, DELETE"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("POST", "/", 405, "GET, HEAD"),
        ("POST", "/benchmark/trends", 405, "GET, DELETE"),
    ],
)
def test_routes_that_are_not_there(
    client: httpx.Client, method: str, path: str, status: int, allow: str | None
) -> None:
    response = client.request(method, path)
    check(response, status, "about:blank")
    assert response.headers.get("allow") == allow


def test_methods_that_a_path_takes_under_v2(client: httpx.Client) -> None:
    response = client.delete("/v2/models/red-dense/infer")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_bug_shows_no_traceback(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that fails, as one on a full GPU would."""
    client = serve()
    monkeypatch.setattr("app.engine.Engine.run", lambda *_: 1 / 0)
    problem = check(client.post(URL, files={"file": FRAME}), 500, "about:blank")
    assert "division" not in problem["detail"]
    monkeypatch.undo()
    assert client.post(URL, files={"file": FRAME}).status_code == 200
    assert 'status="500"' in client.get("/metrics").text


def test_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)(?: +([\d-]+  \S+))?", errors.__doc__ or ""))
    classes = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.PolypruneError) and kind is not errors.PolypruneError
    ]
    assert set(drawn) == {kind.__name__ for kind in classes}
    for kind in classes:
        if kind.status != 500:
            assert drawn[kind.__name__] == f"{kind.status}  {kind.slug}"
            assert kind.example
