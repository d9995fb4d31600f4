"""The commands of docs/pacs.md, run as printed: against a service, and an archive that keeps what it is sent."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

from tests.dicom import file, image
from tests.synthetic import colonoscopy

TEXT = Path("docs/pacs.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom", "ignore:::highdicom")


@dataclass
class Archive:
    """Where a STOW-RS request goes, and the content type and body of each that came."""

    url: str
    stored: list[tuple[str, bytes]]


@pytest.fixture
def archive() -> Iterator[Archive]:
    """An archive that keeps what it is sent, and is stopped after the test."""
    stored: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stored.append((self.headers["Content-Type"], body))
            self.send_response(200)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Archive(f"http://127.0.0.1:{server.server_port}", stored)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def scope(tmp_path: Path) -> bytes:
    content = file(image(colonoscopy(240, 320)))
    (tmp_path / "scope.dcm").write_bytes(content)
    return content


def source_of(segmentation: bytes) -> str:
    (series,) = dcmread(io.BytesIO(segmentation)).ReferencedSeriesSequence
    return str(series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID)


def test_curl(client: httpx.Client, scope: bytes, tmp_path: Path) -> None:
    (command,) = re.findall(r"```sh\n(curl .+?)```", TEXT, re.DOTALL)
    line = command.replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))
    subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    assert source_of((tmp_path / "seg.dcm").read_bytes()) == dcmread(io.BytesIO(scope)).SOPInstanceUID


def test_python(client: httpx.Client, archive: Archive, scope: bytes, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    program = program.replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))
    program = program.replace("http://127.0.0.1:8042", archive.url)
    subprocess.run([sys.executable, "-c", program, "scope.dcm"], cwd=tmp_path, check=True)
    ((kind, body),) = archive.stored
    boundary = kind.split("boundary=")[1].encode()
    part = body.split(b"--" + boundary)[1]
    headers, instance = part.split(b"\r\n\r\n", 1)
    assert headers == b"\r\nContent-Type: application/dicom"
    assert source_of(instance.removesuffix(b"\r\n")) == dcmread(io.BytesIO(scope)).SOPInstanceUID
