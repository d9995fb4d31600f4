"""`POST /v1/segment/batch` on a real server."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import time
from typing import Any

import httpx
import numpy as np
import pytest

from app.engine import Engine
from app.outputs import OUTPUTS
from app.routes import batch
from tests.app.test_outputs import PICTURED
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.synthetic import SIZE, colonoscopy, decode, encode

URL = "/v1/segment/batch"
GOOD = encode(colonoscopy(90, 121))


def level(red: int) -> bytes:
    """A frame of one shade, so that an answer shows which frame it is of."""
    return encode(np.full((SIZE, SIZE, 3), red, np.uint8))


def post(client: httpx.Client, frames: list[Any], **params: Any) -> httpx.Response:
    return client.post(URL, params=params, files=[("file", frame) for frame in frames])


def test_reports_come_in_the_order_of_the_files(client: httpx.Client) -> None:
    shades = [250, 180, 220, 140, 200, 160, 240]
    answer = post(client, [(f"{red}.png", level(red)) for red in shades], model="red-dense")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-polyprune-model"] == "red-dense/1"
    results = answer.json()["results"]
    assert [result["index"] for result in results] == list(range(7))
    assert [result["filename"] for result in results] == [f"{red}.png" for red in shades]
    found = [result["report"]["lesions"][0]["probability"] for result in results]
    assert found == pytest.approx([red / 255 for red in shades])


def test_report_is_that_of_a_single_frame(client: httpx.Client) -> None:
    (result,) = post(client, [("f", GOOD)]).json()["results"]
    single = client.post("/v1/segment", params={"output": "json"}, files={"file": GOOD}).json()
    assert list(result["report"].pop("timings")) == list(single.pop("timings"))
    assert result == {"index": 0, "filename": "f", "report": single}


def test_bad_frames_fail_alone(client: httpx.Client) -> None:
    frames = [GOOD, GOOD[: len(GOOD) // 2], b"no image", GOOD, b"", GOOD]
    results = post(client, [(f"{index}", frame) for index, frame in enumerate(frames)]).json()["results"]
    kinds = [result["error"]["type"].split(":")[-1] if "error" in result else "" for result in results]
    assert kinds == ["", "corrupt-frame", "not-an-image", "", "bad-body", ""]
    for index, result in enumerate(results):
        assert set(result) == {"index", "filename", "error" if kinds[index] else "report"}
    problem = results[1]["error"]
    assert (problem["status"], problem["instance"], problem["title"]) == (422, URL, "Frame truncated or corrupt")


def test_bug_on_one_frame_fails_alone(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A session that fails on the second run, as one on a full GPU might."""
    client = serve()
    run, runs = Engine.run, iter([False, True, False])
    monkeypatch.setattr(Engine, "run", lambda engine, frames: 1 / 0 if next(runs) else run(engine, frames))
    results = post(client, [("secret-name", GOOD)] * 3).json()["results"]
    assert ["error" in result for result in results] == [False, True, False]
    assert results[1]["error"]["status"] == 500
    assert "division" not in results[1]["error"]["detail"]
    assert "frame 1 of a batch failed" in caplog.text
    assert "secret-name" not in caplog.text


@pytest.mark.parametrize("name", [name for name in PICTURED if name not in ("json", "geojson")])
def test_files_come_as_data_urls(client: httpx.Client, name: str) -> None:
    results = post(client, [("a", GOOD), ("b", level(200))], output=name).json()["results"]
    for result, frame in zip(results, (GOOD, level(200)), strict=True):
        start, data = result["data_url"].split(",")
        assert start == f"data:{OUTPUTS[name].media_type};base64"
        single = client.post("/v1/segment", params={"output": name}, files={"file": frame})
        assert base64.b64decode(data, validate=True) == single.content


def test_options_of_an_output(client: httpx.Client) -> None:
    (result,) = post(client, [("f", GOOD)], output="overlay", format="png", opacity=0).json()["results"]
    start, data = result["data_url"].split(",")
    assert start == "data:image/png;base64"
    assert decode(base64.b64decode(data)).shape == (90, 121, 3)
    check(post(client, [("f", GOOD)], bits=1), 422, "bad-parameter")


def test_geojson_inline(client: httpx.Client) -> None:
    (result,) = post(client, [("f", GOOD)], output="geojson").json()["results"]
    assert result["geojson"] == client.post("/v1/segment?output=geojson", files={"file": GOOD}).json()


@pytest.mark.parametrize("filename", ["../../etc/passwd", "ü\u4e2d.png", 'quo"te\\.png', "<script>", "x" * 300, ""])
def test_filenames_are_only_repeated(client: httpx.Client, caplog: pytest.LogCaptureFixture, filename: str) -> None:
    """Written by hand, since clients escape names in several ways."""
    name = filename.replace("\\", "\\\\").replace('"', '\\"').encode()
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n' + GOOD
    with caplog.at_level(logging.DEBUG):
        answer = client.post(
            URL, content=part + b"\r\n--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
        )
    (result,) = answer.json()["results"]
    assert "report" in result
    assert result["filename"] == filename
    assert not filename or filename not in caplog.text


def test_number_of_frames_is_limited(serve: Serve) -> None:
    client = serve(max_frames=3)
    assert len(post(client, [("f", GOOD)] * 3).json()["results"]) == 3
    problem = check(post(client, [("f", GOOD)] * 4), 413, "too-many-frames")
    assert "4 frames, and at most 3" in problem["detail"]


def test_bytes_and_pixels_are_limited(serve: Serve) -> None:
    client = serve(max_body_bytes=len(GOOD) * 3, max_pixels=90 * 121)
    check(post(client, [("f", GOOD)] * 3), 413, "body-too-large")
    large = encode(np.zeros((91, 121, 3), np.uint8))
    results = post(client, [("f", large), ("f", GOOD)]).json()["results"]
    assert results[0]["error"]["type"] == "urn:polyprune:problem:frame-too-large"
    assert "report" in results[1]


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        ({"content": GOOD, "headers": {"content-type": "image/png"}}, 415, "unsupported-media-type"),
        ({"files": {"image": GOOD}}, 422, "bad-body"),
        ({"files": {"file": GOOD}, "data": {"threshold": "0.5"}}, 422, "bad-body"),
        ({"files": {"file": (None, GOOD)}}, 422, "bad-body"),
        ({"files": {"file": GOOD}, "params": {"model": "absent"}}, 404, "unknown-model"),
        ({"files": {"file": GOOD}, "params": {"output": "gif"}}, 422, "bad-parameter"),
        ({"files": {"file": GOOD}, "params": {"output": ["json", "mask"]}}, 422, "bad-parameter"),
    ],
)
def test_bad_requests(client: httpx.Client, sent: dict[str, Any], status: int, slug: str) -> None:
    check(client.post(URL, **sent), status, slug)


LARGE = [("file", ("f", encode(np.zeros((1200, 1200, 3), np.uint8))))] * 12  # as NumPy arrays 8 MB each


def frames_done(client: httpx.Client) -> float:
    found = re.search(r'polyprune_frames_total\{.*output="numpy"\} ([\d.]+)', client.get("/metrics").text)
    return float(found[1]) if found else 0


def test_batch_leaves_workers_to_others(serve: Serve) -> None:
    """While a batch is still being answered, a single frame is; each result is sent once it is there."""
    client = serve(workers=2)
    with client.stream("POST", URL, params={"output": "numpy"}, files=LARGE) as answer:
        chunks = answer.iter_bytes()
        first = b""
        while len(first) < 1000:
            first += next(chunks)
        assert client.post("/v1/segment", files={"file": GOOD}).status_code == 200
        assert 1 <= frames_done(client) < 12
        results = json.loads(first + b"".join(chunks))["results"]
    assert [result["index"] for result in results] == list(range(12))
    assert frames_done(client) == 12


def test_batch_ends_when_its_client_leaves(serve: Serve) -> None:
    client = serve()
    with client.stream("POST", URL, params={"output": "numpy"}, files=LARGE) as answer:
        next(answer.iter_bytes())
    while "polyprune_requests_in_flight 1.0" not in client.get("/metrics").text:  # this request itself
        time.sleep(0.01)
    assert frames_done(client) < 12


def test_example_in_the_documentation_is_an_answer() -> None:
    answer = batch.BatchAnswer.model_validate(batch.EXAMPLE)
    assert answer.results[0].report
    assert answer.results[1].error


def test_frames_are_counted(serve: Serve) -> None:
    client = serve()
    post(client, [("f", GOOD), ("f", b"no image"), ("f", GOOD)], output="numpy")
    assert 'polyprune_frames_total{model="red-pruned/1",output="numpy"} 2.0' in client.get("/metrics").text


def test_numpy_through_a_data_url(client: httpx.Client) -> None:
    (result,) = post(client, [("f", level(100))], output="numpy", model="red-dense").json()["results"]
    loaded = np.load(io.BytesIO(base64.b64decode(result["data_url"].split(",")[1])))
    np.testing.assert_allclose(loaded, 100 / 255, rtol=1e-6)
