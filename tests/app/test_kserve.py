"""The Open Inference Protocol: with Triton's own client, and by hand where that client would not go."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from app import __version__
from app.settings import Settings
from tests.conftest import Serve, running
from tests.synthetic import SIZE, blocks, write_model, write_pair

INFER = "/v2/models/red-dense/infer"
LENGTH = "Inference-Header-Content-Length"
FRAMES = np.stack([blocks(SIZE, SIZE, 8), np.full((SIZE, SIZE, 3), (51, 200, 9), np.uint8)])  # [2, 64, 64, 3]
EXPECTED = FRAMES[..., 0].astype(np.float32) / 255


def address(client: httpx.Client) -> str:
    return f"127.0.0.1:{client.base_url.port}"


@pytest.fixture(scope="module")
def triton(client: httpx.Client) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address(client)) as stock:
        yield stock


def tensor(frames: NDArray[Any] = FRAMES, datatype: str = "UINT8", *, binary: bool = True) -> InferInput:
    sent = InferInput("frames", list(frames.shape), datatype)
    sent.set_data_from_numpy(frames, binary_data=binary)
    return sent


def test_stock_client_finds_the_server_and_its_models(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("red-dense")
    assert triton.is_model_ready("red-dense", "1")
    assert not triton.is_model_ready("red-dense", "2")
    assert not triton.is_model_ready("absent")
    server = triton.get_server_metadata()
    assert (server["name"], server["version"]) == ("polyprune", __version__)
    assert {"binary_tensor_data", "model_configuration", "model_repository", "statistics"} == set(server["extensions"])


@pytest.mark.parametrize("version", ["", "1"])
def test_stock_client_reads_the_contract(triton: InferenceServerClient, version: str) -> None:
    assert triton.get_model_metadata("red-dense", version) == {
        "name": "red-dense",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "frames", "datatype": "UINT8", "shape": [-1, SIZE, SIZE, 3]}],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1, SIZE, SIZE]}],
    }
    config = triton.get_model_config("red-dense", version)
    assert (config["max_batch_size"], config["backend"]) == (8, "onnxruntime")
    assert config["input"] == [{"name": "frames", "data_type": "TYPE_UINT8", "dims": [SIZE, SIZE, 3]}]
    assert config["output"] == [{"name": "probability", "data_type": "TYPE_FP32", "dims": [SIZE, SIZE]}]
    assert config["instance_group"][0]["kind"] == "KIND_CPU"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_stock_client_infers(
    triton: InferenceServerClient, binary_in: bool, binary_out: bool | None, packed: str | None
) -> None:
    outputs = None if binary_out is None else [InferRequestedOutput("probability", binary_data=binary_out)]
    result = triton.infer(
        "red-dense",
        [tensor(binary=binary_in)],
        model_version="1",
        outputs=outputs,
        request_id="frame 7",
        timeout=1000,
        parameters={"anything": 1},
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    found = result.as_numpy("probability")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, EXPECTED, atol=1e-6)
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("red-dense", "1", "frame 7")
    assert ("parameters" in answer["outputs"][0]) == (binary_out is not False)


def test_stock_client_infers_asynchronously(client: httpx.Client) -> None:
    with InferenceServerClient(address(client), concurrency=3) as stock:
        single = [FRAMES[:1], FRAMES[1:], FRAMES]
        waiting = [stock.async_infer("red-dense", [tensor(frames)]) for frames in single]
        found = [request.get_result().as_numpy("probability") for request in waiting]
    for frames, probability in zip(single, found, strict=True):
        np.testing.assert_allclose(probability, frames[..., 0] / np.float32(255), atol=1e-6)


def test_stock_client_gets_errors(triton: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="'absent' is not here") as unknown:
        triton.infer("absent", [tensor()])
    assert unknown.value.status() == "404"
    with pytest.raises(InferenceServerException, match=r"\[N, 64, 64, 3\] with N from 1 to 8, got \[1, 32, 64, 3\]"):
        triton.infer("red-dense", [tensor(np.zeros((1, 32, 64, 3), np.uint8))])
    with pytest.raises(InferenceServerException, match="expected the datatype UINT8, got 'FP32'") as wrong:
        triton.infer("red-dense", [tensor(np.zeros((1, SIZE, SIZE, 3), np.float32), "FP32")])
    assert wrong.value.status() == "400"
    with pytest.raises(InferenceServerException, match="The one output is 'probability', got"):
        triton.infer("red-dense", [tensor()], outputs=[InferRequestedOutput("mask")])
    with pytest.raises(InferenceServerException, match="no classification"):
        triton.infer("red-dense", [tensor()], outputs=[InferRequestedOutput("probability", class_count=3)])
    shared = InferInput("frames", [1, SIZE, SIZE, 3], "UINT8").set_shared_memory("region", 12288)
    with pytest.raises(InferenceServerException, match="Shared memory is not read here"):
        triton.infer("red-dense", [shared])
    with pytest.raises(InferenceServerException, match="Not Found"):
        triton.get_trace_settings()


def test_stock_client_reads_statistics(serve: Serve) -> None:
    with InferenceServerClient(address(serve())) as stock:
        stock.infer("red-dense", [tensor()])
        stock.infer("red-dense", [tensor(FRAMES[:1])])
        with pytest.raises(InferenceServerException):
            stock.infer("red-dense", [tensor(FRAMES[:, :8])])
        (numbers,) = stock.get_inference_statistics("red-dense", "1")["model_stats"]
        every = stock.get_inference_statistics()["model_stats"]
        assert stock.get_inference_statistics("red-dense")["model_stats"] == [numbers]
    assert (numbers["inference_count"], numbers["execution_count"]) == (3, 2)
    counts = {name: stage["count"] for name, stage in numbers["inference_stats"].items()}
    stages = ("queue", "compute_input", "compute_infer", "compute_output")
    assert counts == {"success": 2, "fail": 1, **dict.fromkeys(stages, 2)}
    assert [(batch["batch_size"], batch["compute_infer"]["count"]) for batch in numbers["batch_stats"]] == [
        (1, 1),
        (2, 1),
    ]
    assert numbers["inference_stats"]["success"]["ns"] == sum(numbers["inference_stats"][name]["ns"] for name in stages)
    assert {model["name"]: model["inference_count"] for model in every} == {"red-dense": 3, "red-pruned": 0}


def test_stock_client_controls_models(serve: Serve, tmp_path: Path) -> None:
    (write_model(tmp_path, "broken") / "golden.npz").unlink()
    service = serve(models_dir=write_pair(tmp_path), model_control="open")
    with InferenceServerClient(address(service)) as stock:
        write_model(tmp_path, "red-dense", "2", gain=0.5)
        stock.load_model("red-dense")
        found = stock.infer("red-dense", [tensor()])
        assert found.get_response()["model_version"] == "2"
        np.testing.assert_allclose(found.as_numpy("probability"), EXPECTED / 2, atol=1e-6)
        stock.unload_model("red-dense")
        assert not stock.is_model_ready("red-dense")
        index = {(entry["name"], entry["version"]): entry for entry in stock.get_model_repository_index()}
        assert {key: entry["state"] for key, entry in index.items()} == {
            ("red-pruned", "1"): "READY",
            ("broken", "1"): "UNAVAILABLE",
            ("red-dense", "1"): "UNAVAILABLE",
            ("red-dense", "2"): "UNAVAILABLE",
        }
        assert "golden.npz" in index["broken", "1"]["reason"]
        assert index["red-dense", "2"]["reason"] == "unloaded"
        for call, arguments, status in (
            (stock.load_model, {"model_name": "absent"}, "404"),
            (stock.load_model, {"model_name": "broken"}, "422"),
            (stock.load_model, {"model_name": "red-dense", "config": "{}"}, "422"),
            (stock.unload_model, {"model_name": "red-pruned"}, "409"),
        ):
            with pytest.raises(InferenceServerException) as error:
                call(**arguments)
            assert error.value.status() == status
    ready = service.post("/v2/repository/index", json={"ready": True}).json()
    assert ready == [{"name": "red-pruned", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.skipif(
    not shutil.which("perf_analyzer"), reason="NVIDIA's perf_analyzer is not on PATH (needs glibc 2.38)"
)
@pytest.mark.parametrize("options", [[], ["-b", "4"], ["--async", "--concurrency-range", "4"]])
def test_perf_analyzer(client: httpx.Client, options: list[str]) -> None:
    command = ["perf_analyzer", "-m", "red-dense", "-u", address(client), "--request-count", "20", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Request count: 20" in done.stdout
    assert "Successful request count: 20" in done.stdout  # as the statistics have it


def by_hand(frames: NDArray[Any] = FRAMES[:1], **changes: Any) -> dict[str, Any]:
    """A JSON request, with its one input changed."""
    data = {"name": "frames", "datatype": "UINT8", "shape": list(frames.shape), "data": frames.tolist()}
    return {"inputs": [data | changes]}


def refused(response: httpx.Response, status: int, reason: str) -> None:
    """A failure in the protocol's form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert reason in response.json()["error"]


@pytest.mark.parametrize("nested", [True, False])
def test_json_flat_or_nested(client: httpx.Client, nested: bool) -> None:
    data = FRAMES[:1].tolist() if nested else FRAMES[:1].ravel().tolist()
    response = client.post(INFER, json=by_hand(data=data))
    answer = response.json()
    assert "id" not in answer
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP32", [1, SIZE, SIZE])
    np.testing.assert_allclose(output["data"], EXPECTED[0].ravel(), atol=1e-6)
    assert response.headers["x-polyprune-model"] == "red-dense/1"
    assert response.headers["x-polyprune-provider"] == "CPUExecutionProvider"
    assert "network;dur=" in response.headers["server-timing"]
    assert LENGTH not in response.headers


def test_headers_of_an_inference_are_documented(client: httpx.Client) -> None:
    answer = client.get("/openapi.json").json()["paths"]["/v2/models/{name}/infer"]["post"]["responses"]["200"]
    sent = client.post(INFER, content=FRAMES[:1].tobytes(), headers={LENGTH: "0"}).headers
    own = {name for name in sent if name.startswith(("x-polyprune-", "server-", "inference-"))}
    assert len(own) == 4
    assert own <= {name.lower() for name in answer["headers"]}


FULL = FRAMES[:1].ravel().tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": FULL[:-1]}, "fill the shape"),
        ({"data": [0.5, *FULL[1:]]}, "whole numbers"),
        ({"data": ["0", *FULL[1:]]}, "whole numbers"),
        ({"data": [10**30, *FULL[1:]]}, "whole numbers"),
        ({"data": [256, *FULL[1:]]}, "from 0 to 255, got 0 to 256"),
        ({"data": [-1, *FULL[1:]]}, "from 0 to 255, got -1 to 255"),
        ({"data": [[1], *FULL[1:]]}, "whole numbers"),
        ({"data": FRAMES[0].tolist()}, "fill the shape"),
        ({"data": None}, "whole numbers"),
        ({"data": {}}, "whole numbers"),
        ({"shape": []}, "got []"),
        ({"shape": [0, SIZE, SIZE, 3]}, "N from 1 to 8"),
        ({"shape": [9, SIZE, SIZE, 3]}, "N from 1 to 8"),
        ({"shape": [-1, SIZE, SIZE, 3]}, "N from 1 to 8"),
        ({"shape": ["1", SIZE, SIZE, 3]}, "inputs.0.shape.0"),
        ({"name": "image"}, "Expected one input, 'frames', got ['image']"),
        ({"parameters": {"binary_data_size": -1}}, "inputs.0.parameters.binary_data_size"),
        ({"parameters": {"binary_data_size": 12288}}, "12288 bytes of tensors after the JSON"),
    ],
)
def test_tensors_that_do_not_fit(client: httpx.Client, changes: dict[str, Any], reason: str) -> None:
    refused(client.post(INFER, json=by_hand(**changes)), 400, reason)


def packet(size: int | None = None, raw: bytes = FRAMES[:1].tobytes(), **changes: Any) -> tuple[bytes, int]:
    """JSON and a tensor after it, and the length of the JSON."""
    changes.setdefault("parameters", {"binary_data_size": len(raw) if size is None else size})
    request = by_hand(**changes)
    if "data" not in changes:
        del request["inputs"][0]["data"]
    head = json.dumps(request).encode()
    return head + raw, len(head)


@pytest.mark.parametrize(
    ("body", "shift", "status", "reason"),
    [
        (packet(), 1, 400, "not JSON"),
        (packet(), -1, 400, "not JSON"),
        (packet(), 10**6, 400, "but the body has"),
        (packet(), 10**20, 400, "has to be the length"),
        (packet(raw=FRAMES.tobytes()), 0, 400, "is 12288 bytes, got 24576"),
        (packet(size=10), 0, 400, "Expected 10 bytes"),
        (packet(size=10**15), 0, 400, "bytes of tensors after the JSON"),
        (packet(parameters={}), 0, 400, "Expected 0 bytes"),
        (packet(data=FULL), 0, 400, "both data and binary_data_size"),
    ],
)
def test_binary_that_does_not_fit(
    client: httpx.Client, body: tuple[bytes, int], shift: int, status: int, reason: str
) -> None:
    content, length = body
    refused(client.post(INFER, content=content, headers={LENGTH: str(length + shift)}), status, reason)


@pytest.mark.parametrize("packed", [False, True])
def test_raw_binary_request(client: httpx.Client, packed: bool) -> None:
    """Triton's: the body is one frame without JSON, and the answer is in binary."""
    raw = FRAMES[1].tobytes()
    headers = {LENGTH: "0", "Content-Type": "application/octet-stream"} | (
        {"Content-Encoding": "gzip"} if packed else {}
    )
    answer = client.post(INFER, content=gzip.compress(raw) if packed else raw, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP32", [1, SIZE, SIZE])
    probability = np.frombuffer(answer.content[length:], "<f4").reshape(SIZE, SIZE)
    np.testing.assert_allclose(probability, EXPECTED[1], atol=1e-6)


@pytest.mark.parametrize("content", [b"", FRAMES[0].tobytes()[1:], FRAMES.tobytes(), json.dumps({}).encode()])
def test_raw_binary_request_of_another_size(client: httpx.Client, content: bytes) -> None:
    reason = f"one frame, [1, 64, 64, 3]: expected 12288 bytes, got {len(content)}."
    refused(client.post(INFER, content=content, headers={LENGTH: "0"}), 400, reason)


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "²"])
def test_header_length_that_is_no_length(client: httpx.Client, value: str) -> None:
    refused(client.post(INFER, content=b"{}", headers={LENGTH: value.encode()}), 400, "has to be the length")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 30_000, "not JSON"),
        (b"[]", "body: "),
        (b"{}", "inputs: "),
        (b'{"inputs": []}', "Expected one input"),
        (json.dumps({"inputs": by_hand()["inputs"] * 2}).encode(), "Expected one input"),
        (json.dumps({**by_hand(), "outputs": [{"name": "probability"}] * 2}).encode(), "The one output"),
        (json.dumps({**by_hand(), "id": 5}).encode(), "id: "),
    ],
)
def test_requests_that_do_not_follow_the_protocol(client: httpx.Client, content: bytes, reason: str) -> None:
    refused(client.post(INFER, content=content), 400, reason)


@pytest.fixture(scope="module")
def narrow(models_dir: Path) -> Iterator[httpx.Client]:
    """A service that takes 100 kB and two frames."""
    with running(Settings(models_dir=models_dir, max_body_bytes=100_000, kserve_max_batch=2)) as client:
        yield client


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bombs_are_refused_as_they_inflate(narrow: httpx.Client, coding: str) -> None:
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress}[coding](b" " * 50_000_000)
    assert len(bomb) < 100_000
    refused(narrow.post(INFER, content=bomb, headers={"content-encoding": coding}), 413, "limit of 100000 bytes")


def test_limits(narrow: httpx.Client) -> None:
    content, length = packet(raw=FRAMES.tobytes(), shape=[2, SIZE, SIZE, 3])
    assert narrow.post(INFER, content=content, headers={LENGTH: str(length)}).status_code == 200
    refused(narrow.post(INFER, json=by_hand(np.zeros((3, 2, 2, 3), int))), 400, "N from 1 to 2")
    refused(narrow.post(INFER, content=b" " * 100_001), 413, "limit of 100000 bytes")
    refused(narrow.post(INFER, content=b"{}", headers={"content-encoding": "br"}), 415, "gzip, deflate or none")
    refused(narrow.post(INFER, content=b"{}", headers={"content-encoding": "gzip"}), 400, "gzip")


def test_answers_are_packed_only_for_those_who_ask(client: httpx.Client) -> None:
    plain = client.post(INFER, json=by_hand(), headers={"accept-encoding": "identity"})
    packed = client.post(INFER, json=by_hand(), headers={"accept-encoding": "gzip;q=0.9, br"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.json() == plain.json()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/absent", 404),
        ("GET", INFER, 405),
        ("GET", "/v2/models/absent", 404),
        ("GET", "/v2/models/red-dense/versions/2/config", 404),
        ("GET", f"/v2/models/{'x' * 65}", 404),
        ("POST", "/v2/repository/models/absent/unload", 403),
    ],
)
def test_failures_have_the_protocols_form(client: httpx.Client, method: str, path: str, status: int) -> None:
    refused(client.request(method, path), status, "")


def test_not_ready(serve: Serve, tmp_path: Path) -> None:
    client = serve(models_dir=tmp_path)
    assert client.get("/v2/health/live").json() == {"live": True}
    refused(client.get("/v2/health/ready"), 503, "No model is ready")
    refused(client.post(INFER, json=by_hand()), 503, "No model is ready")


def test_bug_shows_no_traceback(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    monkeypatch.setattr("app.engine.Engine.run", lambda *_: 1 / 0)
    refused(client.post(INFER, json=by_hand()), 500, "its log has the details")


def test_frames_are_counted(serve: Serve) -> None:
    client = serve()
    assert client.post(INFER, json=by_hand(FRAMES)).status_code == 200
    assert 'polyprune_frames_total{model="red-dense/1",output="tensor"} 2.0' in client.get("/metrics").text
