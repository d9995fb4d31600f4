"""The peers: what each is installed from, and how it is started for the throughput of CPU cores."""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.peers.pipeline import Task
from tests.bench.server import free_port

HERE = Path(__file__).parent.resolve()  # where the peers' processes find their scripts and the pipeline
JPEG = {"Content-Type": "image/jpeg"}

TRITON_CONFIG = """
name: "segment"
backend: "python"
max_batch_size: 0
input [{{ name: "frame", data_type: TYPE_UINT8, dims: [-1] }}]
output [{{ name: "mask", data_type: TYPE_UINT8, dims: [-1] }}]
instance_group [{{ count: {workers}, kind: KIND_CPU }}]
"""


@dataclass(frozen=True)
class Place:
    """Where a peer runs: its environment's Python, its port of 127.0.0.1, an empty folder, and what to serve."""

    python: Path
    port: int
    folder: Path
    task: Task

    @property
    def packages(self) -> Path:
        """The environment's site-packages."""
        paths = {"base": str(self.python.parent.parent), "platbase": str(self.python.parent.parent)}
        return Path(sysconfig.get_path("purelib", vars=paths))

    def script(self, name: str) -> str:
        """A command of the environment."""
        return str(self.python.parent / name)


@dataclass(frozen=True)
class Launch:
    """How to start it and to speak to it.

    Attributes:
        command: what to run.
        ready: path that says 200 once it serves.
        path: where frames go, by POST.
        headers: of such a request.
        environment: variables that it needs.
    """

    command: list[str]
    ready: str
    path: str
    headers: Mapping[str, str] = field(default_factory=lambda: JPEG)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """One other server.

    Attributes:
        name: of the table.
        package: that pip installs, and whose version is printed.
        settings: what was chosen for it, of the table.
        launch: writes what it needs into its folder and says how it is started.
        also: further requirements.
        alone: install the package without what it depends on.
    """

    name: str
    package: str
    settings: str
    launch: Callable[[Place], Launch]
    also: tuple[str, ...] = ()
    alone: bool = False


def litserve(place: Place) -> Launch:
    """Its own script, see there."""
    return Launch([str(place.python), str(HERE / "serve_litserve.py"), str(place.port)], "/health", "/predict")


def bentoml(place: Place) -> Launch:
    """`bentoml serve`, whose home is in the folder and which tells nobody of its use."""
    command = [place.script("bentoml"), "serve", "serve_bentoml:Segment", "--working-dir", str(HERE)]
    listen = ["--host", "127.0.0.1", "--port", str(place.port)]
    home = {"BENTOML_HOME": str(place.folder), "BENTOML_DO_NOT_TRACK": "True"}
    return Launch([*command, *listen], "/readyz", "/segment", environment=home)


def mlserver(place: Place) -> Launch:
    """`mlserver start` on a folder with its two settings files."""
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": place.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": place.task.workers,
        "gzip_enabled": False,  # a PNG is compressed already
    }
    model = {"name": "segment", "implementation": "serve_mlserver.Segment"}
    (place.folder / "settings.json").write_text(json.dumps(server))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return Launch([place.script("mlserver"), "start", str(place.folder)], "/v2/health/ready", "/segment")


def triton(place: Place) -> Launch:
    """The binary that pytriton brings, on a model repository with one model of the Python backend."""
    home = place.packages / "pytriton" / "tritonserver"
    stub = home / "python_backend_stubs" / sysconfig.get_python_version() / "triton_python_backend_stub"
    binary = home / "bin" / "tritonserver"
    for program in (stub, binary):
        program.chmod(0o755)
    backend, model = place.folder / "backends" / "python", place.folder / "models" / "segment"
    backend.mkdir(parents=True)
    for part in (stub, *(home / "backends" / "python").iterdir()):
        (backend / part.name).symlink_to(part)
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").symlink_to(HERE / "serve_triton.py")
    (model / "1" / "pipeline.py").symlink_to(HERE / "pipeline.py")  # the stub does not look at PYTHONPATH
    (model / "config.pbtxt").write_text(TRITON_CONFIG.format(workers=place.task.workers))
    command = [str(binary), f"--model-repository={model.parent}", f"--backend-directory={backend.parent}"]
    listen = ["--http-address=127.0.0.1", f"--http-port={place.port}", "--allow-grpc=false", "--allow-metrics=false"]
    # The stub embeds Python, and takes for its home that of the first `python3` on the path.
    environment = {
        "PATH": f"{place.python.parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{place.packages / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}",
    }
    # "Raw binary request": the body is the one input as it is, and the answer's outputs follow its header as they are.
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"}
    return Launch([*command, *listen], "/v2/health/ready", "/v2/models/segment/infer", headers, environment)


PEERS = (
    Peer(
        "LitServe",
        "litserve",
        "workers_per_device = cores, as many API servers, fast_queue; raw body through a FastAPI dependency",
        litserve,
    ),
    Peer("BentoML", "bentoml", "workers = cores, threads = 1; bytes in and out, access log off", bentoml),
    Peer(
        "MLServer",
        "mlserver",
        "parallel_workers = cores, debug and gzip off; raw body through a custom handler in the worker pool",
        mlserver,
        also=("uvloop<0.22",),  # its 1.7.1 asks uvloop for a loop where there is none, which newer ones refuse
    ),
    Peer(
        "Triton",
        "nvidia-pytriton",
        "tritonserver of the wheel, Python backend, instances = cores; raw binary request, gRPC and metrics off",
        triton,
        alone=True,
    ),
)
