"""What the log says, from the stderr of a real process, and what it never says."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from app.logs import JsonFormatter, RequestIdFilter, TextFormatter
from tests.app.guarded import ADMIN, LINES, PROTOCOL, USER, echo, guarded, hidden, key
from tests.process import ROOT, start
from tests.synthetic import colonoscopy, encode

FRAME = encode(colonoscopy())
QUERY = "pp_in-a-query"
PATIENT = "Jane_Doe_1961-04-12.jpg"
WRONG = "pp_wrong" + "w" * 40


@contextmanager
def process(folder: Path, models_dir: Path, **environment: str) -> Iterator[tuple[str, Path]]:
    """A service of its own process: its URL, and the file that its stderr goes to; it has ended afterwards."""
    path = folder / "stderr"
    variables = {**os.environ, "POLYPRUNE_MODELS_DIR": str(models_dir), "POLYPRUNE_PORT": "0", **environment}
    with path.open("w") as file:
        child = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=variables, stderr=file)
    try:
        yield _url(child, path), path
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=60)


def _url(child: subprocess.Popen[bytes], path: Path) -> str:
    while child.poll() is None:
        found = re.search(r"https?://127\.0\.0\.1:\d+", path.read_text())
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(path.read_text())


def written(folder: Path, models_dir: Path, style: str) -> str:
    """All that a service logs on its finest level about every way to bring a key."""
    (folder / "keys").write_text("\n".join(LINES))
    settings = {
        "POLYPRUNE_LOG_FORMAT": style,
        "POLYPRUNE_LOG_LEVEL": "debug",
        "POLYPRUNE_KEYS_FILE": str(folder / "keys"),
        "POLYPRUNE_TRUSTED_PROXIES": "127.0.0.1",
    }
    with process(folder, models_dir, **settings) as (url, path), httpx.Client(base_url=url) as client:
        client.post(
            "/v1/segment",
            params={"threshold": "0.5"},
            files={"file": (PATIENT, FRAME)},
            headers=key(USER) | {"x-request-id": "of-the-frame", "x-forwarded-for": "192.0.2.7"},
        )
        client.get("/v1/models", headers={"authorization": f"Bearer {ADMIN}"})
        client.get("/v1/models", params={"key": QUERY})
        client.get("/v1/models", headers=key(WRONG) | {"x-request-id": "of-the-wrong-key"})
        client.get(f"/{PATIENT}", headers=key(USER))
        client.post("/v1/segment", params={"model": QUERY}, content=FRAME, headers=key(USER))
        client.get("/healthz")
        for offered in (WRONG, USER):
            _refused(url.replace("http", "ws", 1) + f"/absent?key={QUERY}", offered)
    return path.read_text()


def _refused(url: str, offered: str) -> None:
    with pytest.raises(InvalidStatus):
        connect(url, subprotocols=[Subprotocol(PROTOCOL), Subprotocol(hidden(offered))], proxy=None)


@pytest.fixture(scope="module")
def json_log(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> str:
    return written(tmp_path_factory.mktemp("json"), models_dir, "json")


@pytest.fixture(scope="module")
def text_log(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> str:
    return written(tmp_path_factory.mktemp("text"), models_dir, "text")


@pytest.fixture(scope="module")
def entries(json_log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in json_log.splitlines()]


@pytest.mark.parametrize("style", ["json_log", "text_log"])
def test_no_key_no_query_and_no_filename_is_in_the_log(style: str, request: pytest.FixtureRequest) -> None:
    written = request.getfixturevalue(style)
    secrets = [USER, ADMIN, WRONG, QUERY, PATIENT, *(line.split()[2] for line in LINES)]
    for secret in [*secrets, hidden(USER), hidden(WRONG), "threshold"]:
        assert secret not in written
    assert "/v1/segment" in written
    assert "clinic-a" in written
    assert "Traceback" not in written


def test_one_line_a_request(entries: list[dict[str, Any]]) -> None:
    asked = [(e["method"], e["route"], e["status"]) for e in entries if "method" in e]
    assert asked == [
        ("POST", "/v1/segment", 200),
        ("GET", "/v1/models", 200),
        ("GET", "unmatched", 401),
        ("GET", "unmatched", 401),
        ("GET", "unmatched", 404),
        ("POST", "/v1/segment", 404),
        ("GET", "/healthz", 200),
    ]
    assert [e["status"] for e in entries if e["message"].startswith("WebSocket")] == [401, 403]


def test_line_of_a_frame(entries: list[dict[str, Any]]) -> None:
    (entry,) = [entry for entry in entries if entry.get("request_id") == "of-the-frame"]
    assert entry["message"] == "POST /v1/segment 200"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    expected = {"level": "info", "key": "clinic-a", "client": "192.0.2.7", "model": "red-pruned/1"}
    assert expected.items() <= entry.items()
    assert {"queue", "decode", "network", "render"} <= set(entry["timings"])
    assert entry["ms"] > sum(entry["timings"].values())
    assert entry["bytes_in"] > len(FRAME)
    assert entry["bytes_out"] > 0


def test_refusals_have_the_address_and_no_name(entries: list[dict[str, Any]]) -> None:
    (entry,) = [entry for entry in entries if entry.get("request_id") == "of-the-wrong-key"]
    assert entry["client"] == "127.0.0.1"
    assert "key" not in entry


def test_refusals_are_no_errors_of_the_service(entries: list[dict[str, Any]]) -> None:
    assert {line["status"] for line in entries if line.get("route") == "unmatched"} >= {401, 404}
    assert not [line for line in entries if line["level"] == "error"]


def test_probes_are_for_the_debug_level(entries: list[dict[str, Any]]) -> None:
    levels = {entry["route"]: entry["level"] for entry in entries if "route" in entry}
    assert (levels["/healthz"], levels["/v1/segment"]) == ("debug", "info")


def test_text_style(text_log: str) -> None:
    (line,) = [line for line in text_log.splitlines() if "[of-the-frame]" in line]
    assert re.search(r"INFO +app\.routes\.observe \[of-the-frame\]: POST /v1/segment 200 method=POST", line)
    assert re.search(r" ms=[\d.]+ bytes_in=\d+ bytes_out=\d+ key=clinic-a client=192\.0\.2\.7 model=red-pruned/1", line)
    assert re.search(r" timings=queue:[\d.]+,", line)


def test_an_untrusted_proxy_is_not_believed(tmp_path: Path, models_dir: Path) -> None:
    settings = {"POLYPRUNE_LOG_FORMAT": "json", "POLYPRUNE_TRUSTED_PROXIES": "192.0.2.0/24"}
    with process(tmp_path, models_dir, **settings) as (url, path):
        httpx.get(f"{url}/v1/models", headers={"x-forwarded-for": "198.51.100.1"})
    clients = [json.loads(line).get("client") for line in path.read_text().splitlines()]
    assert "127.0.0.1" in clients
    assert "198.51.100.1" not in clients


def test_the_path_of_one_who_left_is_not_logged(tmp_path: Path, models_dir: Path) -> None:
    head = b"POST /v2/models/red-pruned/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    with process(tmp_path, models_dir) as (url, path):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port)) as caller:
            caller.sendall(head + b"1234")
        while " 499 " not in path.read_text():
            time.sleep(0.01)
    assert "the client left before it was answered" in path.read_text()
    assert "/v2/models/red-pruned" not in path.read_text()


def make_certificate(folder: Path, name: str, *options: str) -> tuple[str, str]:
    """PEM files of a certificate for 127.0.0.1 and of its private key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to make a certificate")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    certificate, private = str(folder / f"{name}.pem"), str(folder / f"{name}-key.pem")
    files = ["-keyout", private, "-out", certificate]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-days", "1", *names, *files, *options]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, private


def test_tls(tmp_path: Path, models_dir: Path) -> None:
    certificate, private = make_certificate(tmp_path, "our", "-nodes")
    settings = {"POLYPRUNE_TLS_CERTIFICATE": certificate, "POLYPRUNE_TLS_KEY": private}
    with process(tmp_path, models_dir, **settings) as (url, _):
        assert url.startswith("https://")
        assert httpx.get(f"{url}/healthz", verify=ssl.create_default_context(cafile=certificate)).status_code == 200


def test_tls_files_that_do_not_serve_stop_the_start(tmp_path: Path) -> None:
    certificate, private = make_certificate(tmp_path, "our", "-nodes")
    _, others = make_certificate(tmp_path, "other", "-nodes")
    locked, its = make_certificate(tmp_path, "locked", "-passout", "pass:word")
    damaged = tmp_path / "damaged.pem"
    damaged.write_text(Path(certificate).read_text()[:400])
    stops(tmp_path, "POLYPRUNE_TLS_CERTIFICATE: ", TLS_CERTIFICATE=str(damaged), TLS_KEY=private)
    stops(tmp_path, "POLYPRUNE_TLS_KEY: ", TLS_CERTIFICATE=certificate, TLS_KEY=str(damaged))
    stops(tmp_path, "POLYPRUNE_TLS_KEY: ", TLS_CERTIFICATE=certificate, TLS_KEY=others)
    stops(tmp_path, "POLYPRUNE_TLS_KEY: ", TLS_CERTIFICATE=certificate)
    stops(
        tmp_path,
        "POLYPRUNE_TLS_KEY: Value error, Expected a key that is not encrypted",
        TLS_CERTIFICATE=locked,
        TLS_KEY=its,
    )


def stops(folder: Path, words: str, **settings: str) -> None:
    child = start(folder, **{f"POLYPRUNE_{name}": value for name, value in settings.items()})
    _, text = child.communicate(timeout=60)
    assert child.returncode == 2
    assert text.startswith(words)
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong", [{"POLYPRUNE_TLS_KEY": "pyproject.toml"}, {"POLYPRUNE_TLS_CERTIFICATE": "absent.pem"}]
)
def test_half_of_tls_stops_the_start(tmp_path: Path, wrong: dict[str, str]) -> None:
    child = start(tmp_path, **wrong)
    _, text = child.communicate(timeout=60)
    assert child.returncode == 2
    assert text.startswith(f"{next(iter(wrong))}: ")


Watch = Callable[[str], io.StringIO]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Listens to a logger as `configure` does for all of them."""
    with ExitStack() as stack:

        def listen(name: str) -> io.StringIO:
            handler = logging.StreamHandler(io.StringIO())
            handler.addFilter(RequestIdFilter())
            handler.setFormatter(JsonFormatter())
            logger = logging.getLogger(name)
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.INFO)
            return handler.stream

        yield listen


def test_worker_threads_log_the_id_of_their_request(tmp_path: Path, models_dir: Path, watch: Watch) -> None:
    stream = watch("tests.guarded")
    with guarded(tmp_path, models_dir) as client:
        for number in range(3):
            client.get("/test/thread", headers=key(USER) | {"x-request-id": f"number-{number}"})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["message"], line["request_id"]) for line in lines] == [
        ("in a thread", f"number-{number}") for number in range(3)
    ]


def test_websocket_has_a_line_when_it_opens_and_one_when_it_closes(
    tmp_path: Path, models_dir: Path, watch: Watch
) -> None:
    stream = watch("app.routes.observe")
    with guarded(tmp_path, models_dir) as client, echo(client, key(USER) | {"x-request-id": "stream-1"}) as connection:
        connection.recv()
        connection.send("four")
        assert connection.recv() == "four"
        connection.close(1001)
    opened, closed = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert opened["message"] == "WebSocket /test/echo opened"
    assert closed["message"] == "WebSocket /test/echo closed"
    assert {line["request_id"] for line in (opened, closed)} == {"stream-1"}
    assert {line["key"] for line in (opened, closed)} == {"clinic-a"}
    counts = {"code": 1001, "messages_in": 1, "messages_out": 2, "bytes_in": 4, "bytes_out": 6}
    assert counts.items() <= closed.items()


def test_text_of_a_client_cannot_begin_a_line() -> None:
    record = logging.makeLogRecord({"msg": "GET %s", "args": ("/x\n2026-11-24 ERROR \x1b[2J",), "request_id": "a"})
    record.fields = {"client": "1\r2", "ms": 1.5, "left": None}
    line = TextFormatter().format(record)
    assert line.endswith(r"[a]: GET /x\n2026-11-24 ERROR \x1b[2J client=1\r2 ms=1.5")
    assert len(line.splitlines()) == 1
