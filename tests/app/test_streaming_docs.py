"""The commands and the example of docs/streaming.md, run as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import pytest

from app.message import Header
from tests.synthetic import colonoscopy, decode, encode

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m (app\.client .+?)(?:\s+#.*)?$", TEXT, re.MULTILINE)


def frames(folder: Path) -> None:
    """What the commands name: a folder of frames and a video."""
    (folder / "frames").mkdir()
    writer = cv2.VideoWriter(str(folder / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (128, 96))
    for number in range(3):
        (folder / "frames" / f"{number}.jpg").write_bytes(encode(colonoscopy(), "JPEG"))
        writer.write(colonoscopy()[..., ::-1])
    writer.release()


@pytest.mark.parametrize("command", [command for command in COMMANDS if "client 0" not in command])
def test_command(client: httpx.Client, tmp_path: Path, command: str) -> None:
    frames(tmp_path)
    arguments = [sys.executable, "-m", *command.split(), "--url", str(client.base_url)]
    environment = {"PYTHONPATH": str(ROOT)}
    subprocess.run(arguments, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert any(path.stat().st_size for path in [*tmp_path.glob("masks/*.png"), *tmp_path.glob("overlay.mp4")])


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) == 3


def test_python_example(client: httpx.Client, tmp_path: Path) -> None:
    frames(tmp_path)
    (example,) = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    (tmp_path / "example.py").write_text(example.replace("127.0.0.1:8000", client.base_url.netloc.decode()))
    arguments = [sys.executable, "example.py", "frames/0.jpg", "example.py", "frames/1.jpg"]
    done = subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert "not-an-image" in lines[1]
    assert "'id': 0" in lines[0]
    assert "'id': 0" in lines[2]
    assert decode((tmp_path / "frames" / "1.mask.png").read_bytes()).shape == (96, 128)


def test_the_header_is_as_shown() -> None:
    (shown,) = re.findall(r"```json\n(.+?)```", TEXT, re.DOTALL)
    header = Header.model_validate_json(shown)
    assert header.model_fields_set == set(Header.model_fields)
    assert header.received >= header.answered + header.dropped
