"""`WS /v1/stream` on a real server."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from websockets import ConnectionClosed
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app import message
from app.frames import Frame
from app.message import Header
from app.stream.viewer import MAX_LESIONS, Smoother
from tests.app.test_frames import png_bomb
from tests.app.test_load import metric, post_slow
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.process import process
from tests.synthetic import SIZE, colonoscopy, decode, encode, whole, write_model

JPEG = encode(colonoscopy(), "JPEG", quality=95)


def open_stream(client: httpx.Client, **parameters: Any) -> ClientConnection:
    """A stream with these parameters; one that is not read fills up soon."""
    url = f"{client.base_url}/v1/stream?{urlencode(parameters, doseq=True)}".replace("http://", "ws://", 1)
    return connect(url.replace("//v1", "/v1"), compression=None, max_queue=1, max_size=None, close_timeout=5)


def ask(stream: ClientConnection, data: bytes) -> tuple[Header, bytes]:
    """Send a frame and wait for its answer."""
    stream.send(data)
    answer = stream.recv(timeout=30)
    assert isinstance(answer, bytes), answer
    return message.unpack(answer)


def raw(pixels: np.ndarray) -> bytes:
    """Pixels uint8 [H, W, 3] as a raw frame."""
    height, width, _ = pixels.shape
    return b"RGB8" + struct.pack("<II", width, height) + pixels.tobytes()


def ends(stream: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the service closes."""
    with pytest.raises(ConnectionClosed) as caught:
        stream.recv(timeout=30)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def until(condition: Any) -> None:
    """Wait for something that comes for sure, or fail."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def square(x: int, y: int, level: int = 255, side: int = 16) -> np.ndarray:
    """A black frame of the network's size with one red square."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[y : y + side, x : x + side, 0] = level
    return pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_masks_are_those_of_the_segment_route(client: httpx.Client, kind: str) -> None:
    data = encode(colonoscopy(90, 121), kind)
    with open_stream(client, model="red-dense", threshold=0.3) as stream:
        header, payload = ask(stream, data)
    parameters = {"model": "red-dense", "threshold": 0.3}
    assert payload == client.post("/v1/segment", params=parameters, files={"file": data}).content
    report = client.post("/v1/segment", params={**parameters, "output": "json"}, files={"file": data}).json()
    for found, expected in zip(header.lesions, report["lesions"], strict=True):
        assert found.model_dump(exclude={"id", "polygons"}, mode="json").items() <= expected.items()
        assert found.polygons is None


def test_sequence_numbers_and_counts(client: httpx.Client) -> None:
    with open_stream(client) as stream:
        for number in range(5):
            header, _ = ask(stream, JPEG)
            assert (header.sequence, header.received, header.answered) == (number, number + 1, number + 1)
            assert (header.dropped, header.width, header.height) == (0, 128, 96)
            assert (header.model, header.provider) == ("red-pruned/1", "CPUExecutionProvider")
            stages = ["queue", "decode", "fit", "network", "smooth", "mask", "lesions", "render"]
            assert list(header.timings) == stages


@pytest.mark.parametrize("size", [(96, 128), (71, 33), (1, 1)])
def test_raw_pixels_are_as_good_as_a_png(client: httpx.Client, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    with open_stream(client) as stream:
        assert ask(stream, raw(pixels))[1] == ask(stream, encode(pixels))[1]


@pytest.mark.parametrize("width", [120, 121])
def test_bits_unpack_to_the_mask(client: httpx.Client, width: int) -> None:
    data = encode(colonoscopy(90, width))
    with open_stream(client, output="bits") as stream:
        header, payload = ask(stream, data)
    rows = np.frombuffer(payload, np.uint8).reshape(header.height, -1)
    mask = np.unpackbits(rows, axis=1, count=header.width) * 255
    np.testing.assert_array_equal(mask, decode(client.post("/v1/segment", files={"file": data}).content))


def test_json_has_polygons(client: httpx.Client) -> None:
    data = encode(colonoscopy())
    with open_stream(client, output="json") as stream:
        stream.send(data)
        answer = json.loads(stream.recv(timeout=30))
    report = client.post("/v1/segment", params={"output": "json"}, files={"file": data}).json()
    assert set(answer) == set(Header.model_fields)
    (lesion,), (expected,) = answer["lesions"], report["lesions"]
    assert lesion == {"id": 0, "polygons": [expected.pop("polygon")], **expected}


def test_the_newest_frame_wins_under_a_flood(client: httpx.Client) -> None:
    """However the two race: numbers only rise, nothing is lost uncounted, and the last frame is answered."""
    data = encode(colonoscopy(1200, 1600), "JPEG")
    frames = 60
    headers = []
    with open_stream(client) as stream:
        flood = threading.Thread(target=lambda: [stream.send(data) for _ in range(frames)])
        flood.start()
        while not headers or headers[-1].sequence < frames - 1:
            headers.append(message.unpack(stream.recv(timeout=30))[0])
        flood.join()
    assert all(a.sequence < b.sequence for a, b in pairwise(headers))
    assert [header.answered for header in headers] == list(range(1, len(headers) + 1))
    last = headers[-1]
    assert (last.received, last.answered + last.dropped) == (frames, frames)
    for header in headers:
        assert 0 <= header.received - header.answered - header.dropped <= 1  # one waits at most


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (JPEG[:-40], "corrupt-frame"),
        (b"no image", "not-an-image"),
        (b"", "not-an-image"),
        (raw(square(0, 0))[:-1], "corrupt-frame"),
        (raw(square(0, 0)) + b"\0", "corrupt-frame"),
        (raw(square(0, 0))[:11], "corrupt-frame"),
        (raw(np.zeros((0, 5, 3), np.uint8)), "corrupt-frame"),
        (b"RGB8" + struct.pack("<II", 2**32 - 1, 2**32 - 1), "frame-too-large"),
        (png_bomb(16_000), "frame-too-large"),
    ],
)
def test_a_bad_frame_costs_itself_only(client: httpx.Client, data: bytes, slug: str) -> None:
    with open_stream(client) as stream:
        stream.send(data)
        answer = message.unpack_text(stream.recv(timeout=30))
        assert isinstance(answer, message.Failure)
        assert answer.sequence == 0
        assert answer.error["type"] == f"urn:polyprune:problem:{slug}"
        assert answer.error["instance"] == "/v1/stream"
        header, _ = ask(stream, JPEG)
        assert (header.sequence, header.answered, header.dropped) == (1, 2, 0)


def test_peak_is_set_on_opening_and_changes_from_the_next_frame_on(client: httpx.Client) -> None:
    """A square whose probability is .6 everywhere."""
    counts = []
    with open_stream(client, model="red-dense", peak=0.8) as stream:
        for change in ({}, {"peak": 0.5}, {"peak": 0.61}, {"peak": None}):
            stream.send(json.dumps(change))
            _, payload = ask(stream, encode(square(8, 8, 153, 10)))
            counts.append(np.count_nonzero(decode(payload)))
    assert counts == [0, 100, 0, 100]


def test_threshold_changes_from_the_next_frame_on(client: httpx.Client) -> None:
    data = encode(square(8, 8, level=128))
    with open_stream(client, model="red-dense") as stream:
        areas = []
        for threshold in (None, 0.6, 0.4, None):
            stream.send(json.dumps({"threshold": threshold}))
            areas.append(sum(lesion.area for lesion in ask(stream, data)[0].lesions))
    assert areas == [256, 0, 256, 256]


def marked(answer: tuple[Header, bytes]) -> np.ndarray:
    return decode(answer[1]) == 255


def test_smoothing_does_not_move_a_polyp_where_the_border_changes(serve: Serve, tmp_path: Path) -> None:
    size = {"height": SIZE, "width": SIZE, "fit": "field"}
    client = serve(models_dir=write_model(tmp_path, "red", input=size).parents[1])
    whole = np.zeros((256, 256, 3), np.uint8)
    whole[..., 2] = 90  # lit, and of no probability
    whole[128:160, 128:160] = (255, 0, 0)
    part = whole.copy()
    part[:64] = part[:, :64] = 0  # a black border: the network sees the rest, enlarged
    with open_stream(client, smooth=0.8) as stream:
        found = [ask(stream, raw(pixels))[0].lesions for pixels in (part, whole, part)]
    assert [[lesion.id for lesion in lesions] for lesions in found] == [[0]] * 3
    assert np.abs(np.subtract([lesions[0].box for lesions in found], (128, 128, 32, 32))).max() <= 4


def test_smoothing_forgets_what_is_no_number() -> None:
    """As a network in half precision gives where it overflows: it would stay in the mean as long as the stream does."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    fit, smooth = whole(Frame(pixels, 2, 2)), Smoother()
    sure = np.full((2, 2), 0.9, np.float32)
    smooth(np.array([[np.nan, 0.1], [0.1, 0.1]], np.float32), fit, 0.5)
    np.testing.assert_allclose(smooth(sure, fit, 0.5), [[0.9, 0.5], [0.5, 0.5]], rtol=1e-6)


def test_smoothing_is_exponential_and_forgets_at_another_size(client: httpx.Client) -> None:
    """Frames of the network's size, so that the masks are exact: s = .75 s + .25 p, marked from .5 on."""
    frames = np.random.default_rng(5).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    with open_stream(client, model="red-dense", smooth=0.75) as stream:
        smooth = frames[0, ..., 0] / np.float32(255)
        for pixels in frames:
            smooth = np.float32(0.75) * smooth + np.float32(0.25) * (pixels[..., 0] / np.float32(255))
            sure = np.abs(smooth - 0.5) > 1e-6
            np.testing.assert_array_equal(marked(ask(stream, raw(pixels)))[sure], (smooth >= 0.5)[sure])
        ask(stream, raw(frames[0, :32]))
        np.testing.assert_array_equal(marked(ask(stream, raw(frames[1]))), frames[1, ..., 0] >= 128)
        stream.send('{"smooth": 0}')
        np.testing.assert_array_equal(marked(ask(stream, raw(frames[2]))), frames[2, ..., 0] >= 128)


def test_ids_follow_lesions(client: httpx.Client) -> None:
    with open_stream(client, model="red-dense") as stream:

        def ids(*places: tuple[int, int]) -> list[int]:
            """Ids by the order of places, however the lesions are sorted."""
            pixels = np.maximum.reduce([np.zeros((SIZE, SIZE, 3), np.uint8), *[square(*place) for place in places]])
            found = {lesion.box[:2]: lesion.id for lesion in ask(stream, raw(pixels))[0].lesions}
            return [found[place] for place in places]

        assert ids((0, 0)) == [0]
        assert ids((4, 2), (40, 40)) == [0, 1]
        assert ids((36, 38), (8, 4)) == [1, 0]
        assert ids() == []  # a flicker
        assert ids((8, 4), (36, 38)) == [0, 1]
        assert ids((44, 0), (8, 4)) == [2, 0]
        ask(stream, JPEG)  # another view
        assert ids((8, 4)) == [4]


def test_of_many_specks_the_largest_are_followed(client: httpx.Client) -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[::4, ::4, 0] = 255  # 256 specks, of which one is larger
    pixels[60:63, 60:63, 0] = 255
    with open_stream(client, model="red-dense") as stream:
        lesions = ask(stream, raw(pixels))[0].lesions
    assert (len(lesions), lesions[0].box) == (MAX_LESIONS, (60, 60, 3, 3))


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"model": "absent"}, "Model 'absent' is not here"),
        ({"model": "absent" * 50}, "Model 'absentabsent"),
        ({"threshold": 1.5}, "threshold: Input should be less than or equal to 1"),
        ({"threshold": "nan"}, "threshold: "),
        ({"smooth": 1}, "smooth: Input should be less than 1"),
        ({"output": "overlay"}, "output: Input should be 'mask', 'bits' or 'json'"),
        ({"treshold": 0.5}, "treshold: unknown here: correct its spelling, or leave it out"),
        ({"threshold": [0.1, 0.9]}, "threshold: came more than once"),
    ],
)
def test_bad_parameters_close_with_the_reason(client: httpx.Client, parameters: dict, part: str) -> None:
    with open_stream(client, **parameters) as stream:
        code, reason = ends(stream)
    assert code == 1008
    assert reason.startswith(part)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hello", 1003),
        ("[1]", 1003),
        ("[" * 4000, 1003),
        ("[" * 5000, 1009),
        ('{"threshold": 2}', 1008),
        ('{"threshold": NaN}', 1008),
        ('{"smooth": "much"}', 1008),
        ('{"model": "red-dense"}', 1008),
    ],
)
def test_bad_text_closes_the_stream(client: httpx.Client, text: str, code: int) -> None:
    with open_stream(client) as stream:
        stream.send(text)
        found, reason = ends(stream)
    assert found == code
    assert reason


def test_too_large_a_message(serve: Serve) -> None:
    with open_stream(serve(max_body_bytes=5000)) as stream:
        assert ask(stream, JPEG)[0].sequence == 0
        stream.send(bytes(5001))
        assert ends(stream) == (1009, "The message is longer than the limit of 5000 bytes.")


def test_idle_streams_are_closed(serve: Serve) -> None:
    client = serve(stream_idle_seconds=0.2)
    with open_stream(client) as stream:
        assert ends(stream) == (4408, "No message came for 0.2 s.")
    until(lambda: metric(client, "polyprune_streams_open") == 0)


def test_a_request_that_a_proxy_robbed_of_its_upgrade_is_told_so(client: httpx.Client) -> None:
    response = client.get("/v1/stream")
    assert "proxy" in check(response, 426, "about:blank")["detail"]
    assert (response.headers["upgrade"], response.headers["connection"]) == ("websocket", "Upgrade")


def test_too_many_streams_are_refused_before_they_are_accepted(serve: Serve) -> None:
    client = serve(max_streams=2)
    with open_stream(client) as first, open_stream(client) as second:
        ask(first, JPEG)
        ask(second, JPEG)
        with pytest.raises(InvalidStatus) as refused, open_stream(client):
            pass
        response = refused.value.response
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert json.loads(response.body)["type"] == "urn:polyprune:problem:too-many-streams"
    until(lambda: metric(client, "polyprune_streams_open") == 0)
    with open_stream(client) as third:
        assert ask(third, JPEG)[0].sequence == 0


def test_no_model_is_refused_before_it_is_accepted(serve: Serve) -> None:
    client = serve(default_model="absent")
    with pytest.raises(InvalidStatus) as refused, open_stream(client):
        pass
    assert json.loads(refused.value.response.body)["type"] == "urn:polyprune:problem:no-model-ready"
    with open_stream(client, model="red-dense") as stream:
        assert ask(stream, JPEG)[0].model == "red-dense/1"


def test_subprotocol_is_taken_only_where_it_is_offered(client: httpx.Client) -> None:
    url = f"ws://{client.base_url.netloc.decode()}/v1/stream"
    for offered, taken in ((["polyprune.key.abc", "polyprune.v1"], "polyprune.v1"), (["other"], None), (None, None)):
        with connect(url, subprotocols=offered) as stream:
            assert stream.subprotocol == taken
            assert ask(stream, JPEG)[0].sequence == 0


def test_a_message_in_fragments_is_one_frame(client: httpx.Client) -> None:
    with open_stream(client) as stream:
        stream.send([JPEG[:100], JPEG[100:101], JPEG[101:]])
        header, payload = message.unpack(stream.recv(timeout=30))
        assert (header.sequence, payload) == (0, ask(stream, JPEG)[1])


def test_metrics_count_every_frame(serve: Serve) -> None:
    client = serve()
    with open_stream(client, output="json") as stream:
        for _ in range(3):
            stream.send(JPEG)
            stream.recv(timeout=30)
        stream.send(b"no image")
        stream.recv(timeout=30)
        assert metric(client, "polyprune_streams_open") == 1
    until(lambda: metric(client, "polyprune_streams_open") == 0)
    assert metric(client, 'polyprune_stream_frames_total{outcome="received"}') == 4
    assert metric(client, 'polyprune_stream_frames_total{outcome="answered"}') == 4
    assert metric(client, 'polyprune_frames_total{model="red-pruned/1",output="json"}') == 3
    assert 'outcome="dropped"' not in client.get("/metrics").text


def test_frames_that_find_no_worker_are_dropped_and_the_stream_goes_on(serve: Serve) -> None:
    client = serve(workers=1, queue=0)
    with open_stream(client, output="json") as stream, ThreadPoolExecutor() as pool:
        slow = pool.submit(post_slow, client)
        until(lambda: metric(client, "polyprune_workers_busy") == 1)
        stream.send(JPEG)
        until(lambda: metric(client, 'polyprune_rejections_total{reason="queue_full"}') == 1)
        assert slow.result().status_code == 200
        stream.send(JPEG)
        header = json.loads(stream.recv(timeout=30))
    assert (header["sequence"], header["received"], header["answered"], header["dropped"]) == (1, 2, 1, 1)


def test_a_client_that_leaves_at_once_costs_nobody_anything(serve: Serve) -> None:
    client = serve()
    data = encode(colonoscopy(1200, 1600), "JPEG")
    for _ in range(10):
        with open_stream(client) as stream:
            for _ in range(5):
                stream.send(data)
            stream.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: metric(client, "polyprune_streams_open") == 0)
    counts = [metric(client, f'polyprune_stream_frames_total{{outcome="{o}"}}') for o in ("received", "answered")]
    with open_stream(client) as stream:
        assert ask(stream, JPEG)[0].sequence == 0
    until(lambda: metric(client, "polyprune_streams_open") == 0)
    if counts[0] > counts[1]:
        assert metric(client, 'polyprune_stream_frames_total{outcome="dropped"}') == counts[0] - counts[1]


@contextmanager
def ending(models_dir: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The service as a process, which has to end by itself, and without a traceback."""
    with process(models_dir, **environment) as (service, client, log):
        yield service, client
        assert service.wait(timeout=20) == 0
    assert "Traceback" not in "".join(log)


def test_streams_end_with_1001_when_the_service_stops(models_dir: Path) -> None:
    """And messages may be as long as bodies: uvicorn's own limit, half of the default, is out of the way."""
    with ending(models_dir) as (service, client), open_stream(client) as stream:
        assert ask(stream, raw(np.zeros((2400, 2800, 3), np.uint8)))[0].sequence == 0
        service.terminate()
        assert ends(stream) == (1001, "The service stops.")


def test_too_large_a_message_is_refused_before_it_is_whole(models_dir: Path) -> None:
    with ending(models_dir, POLYPRUNE_MAX_BODY_BYTES="5000") as (service, client):
        with open_stream(client) as stream:
            stream.send([bytes(4000), bytes(4000)])
            assert ends(stream)[0] == 1009
        until(lambda: metric(client, "polyprune_streams_open") == 0)
        service.terminate()


def test_a_client_that_does_not_read_is_let_go(models_dir: Path) -> None:
    """Answers of 2 MiB to messages of 270 KB, never read: once the network's buffers are full, the stream ends.

    It holds neither a place nor, when the service stops, the service.
    """
    data = encode(np.full((4096, 4096, 3), 200, np.uint8), "JPEG", quality=5)
    idle = {"POLYPRUNE_STREAM_IDLE_SECONDS": "1"}
    with ending(models_dir, **idle) as (service, client), open_stream(client, output="bits") as stream:

        def over() -> bool:
            with suppress(ConnectionClosed):
                stream.send(data)
            return metric(client, "polyprune_streams_open") == 0

        assert not over()
        until(over)
        service.terminate()
        service.wait(timeout=20)
