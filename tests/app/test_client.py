"""`python -m app.client` against a real server, with videos and folders made on the spot."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from websockets import Subprotocol
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as silent_server

from app.client import session
from app.client.__main__ import main
from app.client.outputs import MAX_PENDING, Overlay
from app.client.session import stream_url
from app.client.sources import open_source
from app.message import SUBPROTOCOL
from tests.conftest import Serve
from tests.synthetic import colonoscopy, decode

COUNT = 12


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The client as a user starts it."""
    command = [sys.executable, "-m", "app.client", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A polyp that wanders to the right over 12 frames of 128 x 96, 25 a second."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 96))
    for number in range(COUNT):
        writer.write(np.roll(colonoscopy(), 2 * number, axis=1)[..., ::-1])
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frames and a file that is none."""
    path = tmp_path / "frames"
    path.mkdir()
    for number in range(3):
        cv2.imwrite(str(path / f"{number}.png"), np.roll(colonoscopy(), 8 * number, axis=1)[..., ::-1])
    (path / "notes.txt").write_text("not a frame")
    return path


@pytest.mark.parametrize("kind", ["mp4", "avi"])
def test_overlay_of_a_video(client: httpx.Client, video: Path, tmp_path: Path, kind: str) -> None:
    overlay = tmp_path / f"overlay.{kind}"
    done = run(video, "--url", client.base_url, "--overlay", overlay, "--fps", 50, "--json")
    assert done.returncode == 0, done.stderr
    assert "frames answered, 0 refused" in done.stderr
    written = open_source(str(overlay))
    frames = list(written.frames)
    assert (len(frames), written.rate) == (COUNT, 50)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["sequence"] == COUNT - 1
    x, y, width, height = last["lesions"][0]["box"]
    inside, outside = frames[-1][y + height // 2, x + width // 2], frames[-1][5, 5]
    before = np.roll(colonoscopy(), 2 * (COUNT - 1), axis=1)[..., ::-1]
    assert inside[1] > before[y + height // 2, x + width // 2, 1] + 30  # the polyp, tinted green
    assert np.abs(outside.astype(int) - before[5, 5]).max() < 20


def test_json_lines_follow_the_polyp(client: httpx.Client, video: Path) -> None:
    done = run(video, "--url", f"{client.base_url}/v1/stream", "--json", "--model", "red-dense", "--smooth", 0.1)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["sequence"] for line in lines] == sorted({line["sequence"] for line in lines})
    assert lines[-1]["received"] == lines[-1]["answered"] + lines[-1]["dropped"] == COUNT
    assert {line["model"] for line in lines} == {"red-dense/1"}
    assert [lesion["id"] for line in lines for lesion in line["lesions"]] == [0] * len(lines)
    assert all(lesion["polygons"] for line in lines for lesion in line["lesions"])
    assert lines[-1]["lesions"][0]["box"][0] > lines[0]["lesions"][0]["box"][0]


def test_masks_of_a_folder(client: httpx.Client, folder: Path, tmp_path: Path) -> None:
    done = run(
        folder,
        "--url",
        client.base_url,
        "--masks",
        tmp_path / "new" / "masks",
        "--fps",
        2,
        "--threshold",
        0.4,
        "--peak",
        0.45,
    )
    assert done.returncode == 0, done.stderr
    masks = sorted((tmp_path / "new" / "masks").iterdir())
    assert masks[-1].name == "000002.png"
    truth = np.roll(colonoscopy(), 16, axis=1)[..., 0] > 128
    assert np.mean((decode(masks[-1].read_bytes()) > 0) != truth) < 0.02


@contextmanager
def hears_ctrl_c() -> Iterator[None]:
    """Tests in a shell's background ignore SIGINT, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_stream_and_keeps_the_video(client: httpx.Client, video: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.avi"
    arguments = [video, "--url", client.base_url, "--overlay", overlay, "--json", "--fps", 0.5]
    command = [sys.executable, "-m", "app.client", *map(str, arguments)]
    with (
        hears_ctrl_c(),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["sequence"] == 0
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 0, text
    assert "frames answered" in text
    assert 1 <= len(list(open_source(str(overlay)).frames)) < COUNT


def test_what_is_wrong_is_said(serve: Serve, folder: Path, video: Path, tmp_path: Path) -> None:
    """One line on stderr, no traceback, exit code 1."""
    client = serve()
    (folder / "1.png").write_bytes(b"not an image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.mp4").write_text("no video")
    here = ("--url", client.base_url)
    for arguments, part in (
        ((tmp_path / "absent.mp4",), "There is no"),
        ((tmp_path / "not.mp4",), "is not readable as a video"),
        ((tmp_path / "empty",), "has no frames"),
        (("99",), "Camera 99 is not there"),
        ((folder, *here), "1.png is not readable as an image"),
        ((video, "--url", "ws://127.0.0.1:9"), "Cannot connect to ws://127.0.0.1:9/v1/stream"),
        ((video, "--url", "gopher://x"), "Cannot connect to gopher://x"),
        ((video, "--url", f"{client.base_url}/nowhere"), "The service refused the stream (403): is this the address"),
        ((video, *here, "--model", "absent"), "The service ended the stream (1008): Model 'absent' is not here"),
        ((video, *here, "--threshold", 2), "The service ended the stream (1008): threshold: "),
        ((video, *here, "--overlay", tmp_path / "out.gif"), "out.gif is no kind of video"),
        ((video, *here, "--overlay", tmp_path / "absent" / "out.mp4"), "does not exist"),
        ((video, *here, "--masks", video), "cannot be made"),
    ):
        done = run(*arguments)
        assert done.returncode == 1, done.stderr
        assert part in done.stderr
        assert "Traceback" not in done.stderr
    assert run(video, "--fps", "0").returncode == 2


def test_a_run_without_any_answer_is_a_failure(serve: Serve, folder: Path, tmp_path: Path) -> None:
    client = serve(max_pixels=128 * 96)
    here = ("--url", client.base_url, "--json", "--fps", 50)
    assert run(folder, *here).returncode == 0
    large = cv2.imread(str(folder / "0.png"))
    assert large is not None
    for file in folder.glob("*.png"):
        cv2.imwrite(str(file), cv2.resize(large, (129, 96)))
    refused = run(folder, *here)
    assert (refused.returncode, refused.stdout.count("129 x 96 pixels")) == (1, 3)
    assert "No frame was answered, and the first was refused: The frame is 129 x 96 pixels" in refused.stderr
    assert "0 frames answered, 3 refused" in refused.stderr
    cv2.imwrite(str(folder / "1.png"), large)
    assert run(folder, *here).returncode == 0, "some were answered"
    cv2.VideoWriter(str(tmp_path / "none.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 96)).release()
    empty = run(tmp_path / "none.avi", *here)
    assert empty.returncode == 1
    assert "No frame was answered: the source has none, or" in empty.stderr


def test_a_service_that_never_answers_is_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def take(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    monkeypatch.setattr(session, "LAST_ANSWER_SECONDS", 0.2)
    with silent_server(take, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(sys, "argv", ["client", str(folder), "--url", f"ws://127.0.0.1:{port}", "--fps", "50"])
        with pytest.raises(SystemExit) as ended:
            main()
        server.shutdown()
        thread.join()
    assert ended.value.code == 1
    assert "the service is too busy for any" in capsys.readouterr().err


def test_a_key_opens_the_stream_and_a_wrong_one_is_said(serve: Serve, video: Path, tmp_path: Path) -> None:
    key = "a-key-of-enough-characters-to-be-taken"
    (tmp_path / "keys").write_text(f"clinic-a user {sha256(key.encode()).hexdigest()}\n")
    client = serve(keys_file=tmp_path / "keys")
    assert run(video, "--url", client.base_url, "--fps", 50, "--key", key).returncode == 0
    for arguments, part in ((("--key", f"{key}?"), "No key of this service is like"), ((), "Expected an API key")):
        refused = run(video, "--url", client.base_url, *arguments)
        assert refused.returncode == 1
        assert part in refused.stderr
        assert key not in refused.stderr


def test_overlay_shows_the_last_mask_where_a_frame_has_none(tmp_path: Path) -> None:
    """More frames than may wait are written without one; nothing is lost, and the memory is bounded."""
    overlay = Overlay(tmp_path / "out.avi", 25)
    for level in range(MAX_PENDING + 10):
        overlay.sent(np.full((32, 32, 3), level, np.uint8))
    overlay.close()
    frames = list(open_source(str(tmp_path / "out.avi")).frames)
    assert len(frames) == MAX_PENDING + 10
    assert [abs(int(frame.mean()) - level) < 4 for level, frame in enumerate(frames)] == [True] * len(frames)


def test_the_address_may_be_that_of_http() -> None:
    assert stream_url("http://host:1", model=None) == "ws://host:1/v1/stream"
    assert stream_url("https://host/", smooth=0.0, model="a/1") == "wss://host/v1/stream?smooth=0.0&model=a%2F1"
    assert stream_url("ws://host/polyprune/v1/stream") == "ws://host/polyprune/v1/stream"
