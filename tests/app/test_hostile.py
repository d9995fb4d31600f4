"""Hostile input ends in a clear error, within bounded memory, and costs nobody else anything."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app import files, model, registry
from app.loader import Loader, Refusal
from tests import memory
from tests.bombs import ATTACKS
from tests.conftest import Serve
from tests.process import process
from tests.synthetic import SIZE, colonoscopy, encode, write_model, write_pair

MOST = 150 * 2**20  # bytes that any attack may take: a frame of the most pixels has 48 MiB, and its copy

OUTCOMES = {
    "png of 16000 x 16000": "frame-too-large",
    "png with texts": "corrupt-frame",
    "tiff with tiles larger than it": "corrupt-frame",
    "tiff of 60000 x 60000": "frame-too-large",
    "webp of 16383 x 16383": "frame-too-large",
    "cmyk jpeg of 100 scans": "corrupt-frame",
    "gzip of 300 MB": "body-too-large",
    "json of empty lists": "bad-inference",
    "json of short texts": "bad-inference",
    "json nested deeply": "bad-inference",
    "golden that inflates": "model-refused",
    "golden of huge dimensions": "model-refused",
    "golden cut short": "model-refused",
    "golden with half a header": "model-refused",
    "golden that is pickled": "model-refused",
}


@pytest.fixture(scope="module")
def attacked() -> dict[str, tuple[str, int]]:
    return memory.attacked("tests.bombs")


@pytest.mark.parametrize("name", ATTACKS)
def test_bombs_are_refused_in_bounded_memory(attacked: dict[str, tuple[str, int]], name: str) -> None:
    outcome, grown = attacked[name]
    assert outcome == OUTCOMES[name]
    assert grown < MOST


# ---- connections


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    assert client.base_url.port is not None
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=60) as connection:
        yield connection


def answer(connection: socket.socket) -> bytes:
    """All that comes until the service closes."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:  # what we sent after its answer
        pass
    return received


HEAD = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"


def test_body_that_trickles_is_answered_with_408(serve: Serve) -> None:
    client = serve(receive_seconds=0.3)
    with connected(client) as connection:
        connection.sendall(HEAD + b"x")
        received = answer(connection)
    assert received.startswith(b"HTTP/1.1 408")
    assert b"urn:polyprune:problem:body-too-slow" in received
    assert b"connection: close" in received.lower()
    assert client.post("/v1/segment", content=encode(colonoscopy())).status_code == 200


@pytest.fixture(scope="module")
def patient(models_dir: Path) -> Iterator[httpx.Client]:
    """A service as a process, which does not wait for long."""
    waits = {"POLYPRUNE_RECEIVE_SECONDS": "0.5", "POLYPRUNE_STREAM_IDLE_SECONDS": "2"}
    with process(models_dir, **waits) as (_, client, _):
        yield client


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"],
    ids=["nothing", "part of a line", "part of a head", "part of a second head"],
)
def test_head_that_does_not_come_loses_the_connection(patient: httpx.Client, sent: bytes) -> None:
    with connected(patient) as connection:
        connection.sendall(sent)
        assert b"HTTP/1.1 408" in answer(connection)


def test_body_of_a_request_that_was_refused_is_not_awaited_forever(patient: httpx.Client) -> None:
    with connected(patient) as connection:
        connection.sendall(HEAD.replace(b"1000", b"99999999999"))
        received = answer(connection)
    assert received.startswith(b"HTTP/1.1 413")
    assert received.count(b"HTTP/1.1") == 1


ENDLESS = {
    "url": (b"GET /", b"x"),
    "name of a field": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"x"),
    "value of a field": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"x"),
    "fields": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n"),
    "trailers": (
        b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        b"a: b\r\n",
    ),
    "chunk extensions": (
        b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"a=b;",
    ),
}


@pytest.mark.parametrize("where", ENDLESS)
def test_what_is_not_body_stays_short(patient: httpx.Client, where: str) -> None:
    begin, more = ENDLESS[where]
    block = more * (2**16 // len(more))
    with connected(patient) as connection:
        connection.sendall(begin)
        sent = 0
        try:
            while sent < 2**26:
                connection.sendall(block)
                sent += len(block)
        except (ConnectionError, TimeoutError):
            pass
        received = answer(connection)
    assert sent < 2**24, "it is read on and on"
    assert received[:12] in (b"", b"HTTP/1.1 431", b"HTTP/1.1 400")
    assert patient.get("/healthz").status_code == 200


def test_field_of_an_honest_length_passes(patient: httpx.Client) -> None:
    assert patient.get("/healthz", headers={"X-Long": "x" * 30_000}).status_code == 200


def multipart(part: bytes, count: int) -> bytes:
    return (b"--b\r\n" + part + b"\r\n") * count + b"--b--\r\n"


@pytest.mark.parametrize(
    ("part", "count"),
    [
        (b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\nx', 10_000),
        (b'Content-Disposition: form-data; name="t"\r\n\r\nx', 10_000),
        (b'Content-Disposition: form-data; name="t"\r\n\r\n' + b"x" * 2**21, 1),
        (b'Content-Disposition: form-data; name="file"; filename="' + b"f" * 2**20 + b'"\r\n\r\nx', 1),
        (b"X-A: b\r\n" * 10_000 + b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\nx', 1),
    ],
    ids=["files", "fields", "a long field", "a long name", "many headers"],
)
@pytest.mark.parametrize("url", ["/v1/segment", "/v1/segment/batch", "/benchmark"])
def test_multipart_without_measure(client: httpx.Client, url: str, part: bytes, count: int) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post(url, content=multipart(part, count), headers=headers).status_code == 422


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 10_000, b"1" * 60_000], ids=["lists", "objects", "digits"])
@pytest.mark.parametrize("url", ["/benchmark", "/v2/repository/index"])
def test_json_nested_deeply_is_not_json(client: httpx.Client, url: str, body: bytes) -> None:
    assert client.post(url, content=body, headers={"content-type": "application/json"}).status_code == 422


@pytest.mark.parametrize("url", ["/benchmark", "/v2/repository/index"])
def test_json_that_only_names_things_is_short(client: httpx.Client, url: str) -> None:
    body = b"[" + b"[]," * 2**15 + b"[]]"
    assert client.post(url, content=body, headers={"content-type": "application/json"}).status_code == 413


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%252e%252e%252f",
        "%00",
        "red-dense%00",
        "a" * 65,
        "%ff%fe",
        "..%5c",
        "%0d%0aX",
    ],
)
@pytest.mark.parametrize(
    "url", ["/v1/models/{}", "/v1/models/{}/1", "/v2/models/{}", "/v2/models/{}/versions/{}/infer"]
)
def test_names_in_paths_are_names(client: httpx.Client, url: str, name: str) -> None:
    url = url.replace("{}", name)
    response = client.post(url) if url.endswith("infer") else client.get(url)
    assert response.status_code in (404, 405, 422)
    assert "json" in response.headers["content-type"]


# ---- WebSockets

EMPTY = bytes(4)  # a mask that masks nothing


@contextmanager
def streaming(client: httpx.Client) -> Iterator[ClientConnection]:
    url = str(client.base_url).replace("http", "ws", 1) + "/v1/stream"
    with connect(url, proxy=None, open_timeout=60, compression="deflate") as stream:
        yield stream


def code_of(stream: ClientConnection) -> int | None:
    """The code that it is closed with."""
    with pytest.raises(ConnectionClosed) as closed:
        stream.recv(timeout=60)
    return closed.value.rcvd.code if closed.value.rcvd else None


def test_messages_are_never_inflated(patient: httpx.Client) -> None:
    with streaming(patient) as stream:
        assert "Sec-WebSocket-Extensions" not in stream.response.headers  # type: ignore[union-attr]
        stream.socket.sendall(b"\xc2\x80" + EMPTY)  # says that it is compressed all the same (RFC 7692, section 6)
        assert code_of(stream) == 1002


def test_a_message_of_fragments_without_end_is_no_message(patient: httpx.Client) -> None:
    """Each is empty, so that no limit of bytes ends it; that no message has come does."""
    with streaming(patient) as stream:
        stream.socket.sendall(b"\x02\x80" + EMPTY)
        with suppress(OSError):
            for _ in range(2**12):
                stream.socket.sendall((b"\x00\x80" + EMPTY) * 16)
        assert code_of(stream) == 4408
    assert patient.get("/readyz").status_code == 200


OPENING = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PINGS = 160_000  # 20 MB of answers: more than the network's buffers hold


def test_of_pings_whose_answers_are_not_read_the_newest_is_answered(models_dir: Path) -> None:
    """Else the answers to all of them would wait in the service's memory (RFC 6455, section 5.5.3)."""
    with process(models_dir) as (_, client, _), connected(client) as connection:
        connection.sendall(OPENING)
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        connection.sendall(b"".join(b"\x89\xfd" + bytes(4) + b"%125d" % number for number in range(PINGS)))
        received = b""
        while not received.endswith(b"%125d" % (PINGS - 1)):
            received += connection.recv(2**20)
    assert 0 < received.count(b"\x8a\x7d") < PINGS


# ---- model folders


def refusal(folder: Path) -> str:
    outcome = Loader(folder.parent.parent, threads=1, preference="cpu").attempt("evil/1", folder)
    assert isinstance(outcome, Refusal)
    return outcome.reason


NAMES = ["manifest.json", "model.onnx", "golden.npz"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_is_no_file(tmp_path: Path, name: str) -> None:
    """Opened plainly, it waits for a writer until the end of days."""
    folder = write_model(tmp_path, "evil")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{name} is no file but a folder, a pipe" in refusal(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_to_a_device_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path, "evil")
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert f"{name} is a link that leaves" in refusal(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_to_itself_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path, "evil")
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    assert name in refusal(folder) or "Symlink loop" in refusal(folder)


def test_reading_takes_memory_for_what_is_there(tmp_path: Path) -> None:
    """And not for what might be: under `ulimit -v` or without overcommitment no model would be ready."""
    write_model(tmp_path, "red")
    tracemalloc.start()
    try:
        content = files.read(tmp_path / "red" / "1" / "model.onnx", files.MAX_GRAPH_BYTES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(content) < 2**20
    assert peak < 2**22


@pytest.mark.parametrize(("name", "most"), [("manifest.json", 2**22), ("model.onnx", 2**31), ("golden.npz", 2**27)])
def test_an_enormous_file_is_not_read(tmp_path: Path, name: str, most: int) -> None:
    folder = write_model(tmp_path, "evil")
    os.truncate(folder / name, most + 1)  # sparse
    assert refusal(folder) == f"{name} has {most + 1} bytes, and {most} are the most: publish the folder again."


@pytest.mark.parametrize("text", ["[" * 10**6, '{"widths":' * 10**5, "1" * 10**6, '"' + "\\u0000" * 10**5 + '"'])
def test_a_manifest_nested_deeply_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_model(tmp_path, "evil")
    (folder / "manifest.json").write_text(text)
    assert "manifest.json is not readable" in refusal(folder)


def graph(nodes: list[onnx.NodeProto], *values: onnx.TensorProto, domains: tuple[str, ...] = ("",)) -> bytes:
    """`level`, a frame's red channel as float, goes through these nodes to `probability`."""
    red = [
        helper.make_node("Gather", ["frames", "red"], ["channel"], axis=3),
        helper.make_node("Cast", ["channel"], ["level"], to=TensorProto.FLOAT),
    ]
    made = helper.make_graph(
        red + nodes,
        "evil",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", SIZE, SIZE])],
        [value("red", np.int64(0)), *values],
    )
    opsets = [helper.make_opsetid(domain, 20 if not domain else 1) for domain in domains]
    return helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()


def value(name: str, content: np.generic | np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(content), name)


def external(location: str) -> onnx.TensorProto:
    """A tensor that is in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[SIZE], data_location=TensorProto.EXTERNAL)
    for key, text in (("location", location), ("offset", "0"), ("length", str(4 * SIZE))):
        tensor.external_data.add(key=key, value=text)
    return tensor


ADD = [helper.make_node("Add", ["level", "w"], ["probability"])]


@pytest.mark.parametrize("location", ["../../secret", "/etc/passwd", "secret", "evil/1/secret", "README.md"])
def test_tensors_in_other_files_are_refused(tmp_path: Path, location: str) -> None:
    """Wherever they are: in the folder they would escape the checksum; onnxruntime looks in the working directory."""
    folder = write_model(tmp_path, "evil", graph=graph(ADD, external(location)))
    for secret in (tmp_path / "secret", folder / "secret"):
        secret.write_bytes(bytes(4 * SIZE))
    assert "External data path" in refusal(folder)


def test_custom_operators_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Evil", ["level"], ["probability"], domain="com.evil")]
    folder = write_model(tmp_path, "evil", graph=graph(nodes, domains=("", "com.evil")))
    assert "com.evil" in refusal(folder)


def test_initializers_of_huge_dimensions_are_refused(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**20, 2**20, SIZE], raw_data=bytes(16))
    folder = write_model(tmp_path, "evil", graph=graph(ADD, tensor))
    assert "onnxruntime cannot run model.onnx" in refusal(folder)


def test_a_graph_that_takes_forever_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "GOLDEN_SECONDS", 1.0)
    boolean = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Sin", ["x"], ["x_out"])],
        "forever",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            boolean,
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", TensorProto.FLOAT, None),
        ],
    )
    loop = [helper.make_node("Loop", ["times", "go", "level"], ["probability"], body=body)]
    folder = write_model(
        tmp_path, "evil", graph=graph(loop, value("times", np.int64(2**62)), value("go", np.bool_(True)))
    )
    assert "terminate flag" in refusal(folder)


CHILD = """
import json, resource, sys
from pathlib import Path
from app import machine
machine.memory = lambda: 2**30
from app.loader import Loader
loader = Loader(Path(sys.argv[1]), threads=1, preference="cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = loader.attempt("evil/1", Path(sys.argv[1]) / "evil" / "1")
print(json.dumps([getattr(outcome, "reason", "ready"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def test_a_graph_gets_half_of_the_memory_at_most(tmp_path: Path) -> None:
    """Where a machine has a gibibyte, a graph of 600 MB fails, before any of it is touched."""
    nodes = [
        helper.make_node("Shape", ["level"], ["shape"]),
        helper.make_node("Gather", ["shape", "red"], ["count"], axis=0),
        helper.make_node("Mul", ["count", "side"], ["many"]),
        helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["level", "zero"], ["probability"]),
    ]
    write_model(tmp_path, "evil", graph=graph(nodes, value("side", np.array([12_500, 12_000]))))
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path], capture_output=True, text=True, check=True)
    reason, grown = json.loads(done.stdout)
    assert "Available memory" in reason
    assert grown < 2**18  # KiB


def test_evil_folders_stop_no_other(tmp_path: Path) -> None:
    write_pair(tmp_path)
    folder = write_model(tmp_path, "evil", graph=graph(ADD, external("../../etc/passwd")))
    os.mkfifo(folder.parent / "2")
    found = registry.scan(tmp_path, threads=1, preference="cpu")
    assert [ready.id for ready in found.ready] == ["red-dense/1", "red-pruned/1"]
    assert hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() in (folder / "manifest.json").read_text()


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path, serve: Serve) -> None:
    """And is told of with the others: no answer can hold its name."""
    shutil.copytree(write_pair(tmp_path) / "red-dense", tmp_path / os.fsdecode(b"mod\xe8le"))
    client = serve(models_dir=tmp_path)
    assert [(folder["id"], folder["reason"]) for folder in client.get("/readyz").json()["refused"]] == [
        ("mod?le/1", "the folder's name is not UTF-8: rename it.")
    ]
    assert "mod?le/1" in client.get("/v1/models").text
    assert 'polyprune_model_state{model="mod?le/1",state="refused"} 1.0' in client.get("/metrics").text


def trickled(connection: socket.socket, seconds: float = 4) -> bytes | None:
    """What comes back while one byte is sent after the other; None where that goes on for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([connection], [], [], 0.05)[0]:
            return answer(connection)
        connection.sendall(b"x")
    return None


def test_a_body_that_trickles_on_is_answered_with_408(serve: Serve) -> None:
    with connected(serve(receive_seconds=0.5)) as connection:
        connection.sendall(HEAD)
        assert (trickled(connection) or b"").startswith(b"HTTP/1.1 408")


def test_a_head_that_trickles_on_loses_the_connection(patient: httpx.Client) -> None:
    with connected(patient) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
        assert b"HTTP/1.1 408" in (trickled(connection) or b"")


def test_a_refused_body_that_trickles_on_loses_the_connection(patient: httpx.Client) -> None:
    with connected(patient) as connection:
        connection.sendall(HEAD.replace(b"1000", b"99999999999"))
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(2**16)
        assert received.startswith(b"HTTP/1.1 413")
        assert trickled(connection) == b""
