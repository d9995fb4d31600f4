"""The commands of docs/security.md: keys are made, and open the service that they close."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from app.settings import Settings
from tests.conftest import running
from tests.synthetic import colonoscopy, decode, encode

ROOT = Path.cwd()
(BLOCK,) = re.findall(r"^```sh\n(.*?)^```$", Path("docs/security.md").read_text(encoding="utf-8"), re.M | re.S)
USER, ADMIN, SERVE, CURL = BLOCK.splitlines()


def bash(command: str, folder: Path) -> str:
    """Run in this folder, with this Python; what it wrote to stderr."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_the_page(models_dir: Path, tmp_path: Path) -> None:
    shown = [re.findall(r"pp_\S+", bash(command, tmp_path)) for command in (USER, ADMIN)]
    assert SERVE == "POLYPRUNE_KEYS_FILE=keys python -m app"
    (tmp_path / "frame.jpg").write_bytes(encode(colonoscopy(), "JPEG"))
    with running(Settings(models_dir=models_dir, keys_file=tmp_path / "keys")) as client:
        assert client.get("/v1/models").status_code == 401
        for (key,) in shown:
            command = CURL.replace("pp_...", key).replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))
            bash(f"{command} --fail", tmp_path)
            assert decode((tmp_path / "mask.png").read_bytes()).shape == colonoscopy().shape[:2]
