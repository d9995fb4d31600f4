"""What an operator can set, all from environment variables with the prefix `POLYPRUNE_`.

The same table is in `docs/settings.md`; a test keeps the two equal.
"""

from __future__ import annotations

import os
import ssl
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FilePath, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "POLYPRUNE_"


class Settings(BaseSettings):
    """One service's settings. Nothing reads them at import: `main` hands out the values."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: Annotated[str, Field(min_length=1, description="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port to listen on; 0 for any free one.")] = 8000
    models_dir: Annotated[Path, Field(description="Folder of the model folders, `<name>/<version>/`.")] = Path("models")
    default_model: Annotated[
        str | None,
        Field(
            description="Model for requests that name none, as `name` or `name/version`. Unset: the pruned one whose "
            "manifest tells the highest Dice, or without one such a dense one; of full precision if there is any."
        ),
    ] = None
    provider: Annotated[
        Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "openvino-bf16"],
        Field(
            description="Where networks run. `auto`: on a CUDA device if there is one. `cuda`, `tensorrt`: on one. "
            "`openvino`: on an Intel processor through OpenVINO, in fp32 as the graph says; `openvino-bf16`: its "
            "floats in bf16. Models that do not reach what is named are refused."
        ),
    ] = "auto"
    require_gpu: Annotated[
        bool, Field(description="Do not start without a model that runs on a GPU; `auto` is `cuda` then.")
    ] = False
    instances: Annotated[
        int, Field(ge=1, le=16, description="Sessions of each model that batches are shared among, a stream each.")
    ] = 1
    batch_sizes: Annotated[
        str,
        Field(
            pattern=r"^[1-9]\d{0,2}(\s*,\s*[1-9]\d{0,2})*$",
            description="Sizes of batches, the largest is the most; fewer frames are filled up to the next.",
        ),
    ] = "1,2,4,8"
    batch_delay_ms: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Milliseconds that a frame waits for others to share a run with. Unset: 0 on a GPU, where "
            "those that wait anyway are run together, and no batches on the CPU.",
        ),
    ] = None
    cpu_fallback: Annotated[
        bool,
        Field(description="After a fault of the GPU, answer the frame from the CPU, and say so in the answer."),
    ] = False
    cuda_graphs: Annotated[
        bool, Field(description="Record a CUDA graph for each size of batch when a model is loaded, and replay it.")
    ] = False
    tensorrt_cache: Annotated[
        Path | None,
        Field(description="Folder where TensorRT keeps what it built. Unset: it builds anew at each start."),
    ] = None
    threads: Annotated[
        int,
        Field(
            ge=0,
            le=256,
            description="CPU threads for the network of a frame that is alone; 0 for one per CPU core. "
            "Frames that are not alone get one each.",
        ),
    ] = 0
    workers: Annotated[
        int,
        Field(
            ge=0,
            le=256,
            description="Frames that are worked on at once; 0 for one more than CPU cores, and with batches as many "
            "more as these hold.",
        ),
    ] = 0
    queue: Annotated[
        int | None,
        Field(
            ge=0,
            description="Requests that may wait for a worker; more get 503. Unset: four for each core, "
            "or worker where their number is set.",
        ),
    ] = None
    deadline_ms: Annotated[
        float | None,
        Field(
            gt=0,
            description="Milliseconds within which requests without an `X-Deadline-Ms` header want their answer; "
            "those that cannot have it get 503. Unset: they wait for their turn.",
        ),
    ] = None
    drain_seconds: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="After SIGTERM or SIGINT, how long `/readyz` says 503 while requests still come in.",
        ),
    ] = 0.0
    grace_seconds: Annotated[
        int,
        Field(ge=0, description="After that, how long requests in flight may take before they are cut off."),
    ] = 8
    max_body_bytes: Annotated[
        int, Field(ge=1, description="Longest request body in bytes, multipart and chunked ones too.")
    ] = 32 * 2**20
    receive_seconds: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Within which a request's head has to have come, and then its body; else 408.",
        ),
    ] = 60.0
    max_pixels: Annotated[
        int, Field(ge=1, description="Most pixels of a frame, width times height; checked before decoding.")
    ] = 2**24
    max_frames: Annotated[
        int,
        Field(
            ge=1, description="Most frames of one request: files of a batch, or of a DICOM object for a Segmentation."
        ),
    ] = 64
    max_streams: Annotated[int, Field(ge=1, description="WebSocket streams that are open at once.")] = 16
    stream_idle_seconds: Annotated[
        float, Field(gt=0, description="A stream ends when nothing comes, or no answer is read, for so long.")
    ] = 60.0
    benchmark_max_iterations: Annotated[int, Field(ge=2, description="Most iterations of one benchmark.")] = 2000
    benchmark_max_batch: Annotated[int, Field(ge=1, description="Largest batch of one benchmark.")] = 16
    benchmark_max_seconds: Annotated[
        float, Field(gt=0, description="After these a benchmark ends with the iterations done until then.")
    ] = 300.0
    benchmark_history: Annotated[
        int,
        Field(ge=1, description="Benchmarks that are kept, with their raw samples; one more drops the oldest."),
    ] = 100
    benchmark_max_concurrency: Annotated[int, Field(ge=1, description="Most frames at once of one benchmark.")] = 16
    data_dir: Annotated[
        Path | None,
        Field(
            description="Folder that the service writes benchmark results to, `benchmarks.sqlite`. Unset: they are "
            "kept in memory, and the service writes nothing."
        ),
    ] = None
    keys_file: Annotated[
        Path | None,
        Field(description="File of API keys, see docs/security.md. Unset: everybody may do all but control models."),
    ] = None
    model_control: Annotated[
        Literal["admin", "open"],
        Field(
            description="`admin`: models are controlled, and benchmarks deleted, with an admin key. "
            "`open`: without one where no keys are set."
        ),
    ] = "admin"
    rate_limit: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Requests a second of one key, or without keys of one address; 0 for no limit.",
        ),
    ] = 0.0
    rate_burst: Annotated[
        int, Field(ge=1, description="Requests at once after a pause, where there is a rate limit.")
    ] = 20
    concurrency_limit: Annotated[
        int,
        Field(ge=0, description="Requests in flight and open streams of one key or address; 0 for no limit."),
    ] = 0
    cors_origins: Annotated[
        str | None,
        Field(
            pattern=r"^(\*|https?://[^/\s,]+(\s*,\s*https?://[^/\s,]+)*)?$",
            description="Origins whose pages may call the service, as `https://a.example,https://b.example`; "
            "`*` for any.",
        ),
    ] = None
    trusted_proxies: Annotated[
        str,
        Field(
            pattern=r"^(\*|[0-9A-Fa-f.:/]+(\s*,\s*[0-9A-Fa-f.:/]+)*)?$",
            description="Addresses or networks, separated by commas, whose `X-Forwarded-For` and "
            "`X-Forwarded-Proto` are believed.",
        ),
    ] = "127.0.0.1"
    tls_certificate: Annotated[
        FilePath | None, Field(description="PEM file of the certificate chain; the service speaks HTTPS then.")
    ] = None
    tls_key: Annotated[
        FilePath | None, Field(description="PEM file of its private key. Unset: it is in the certificate's file.")
    ] = None
    kserve_max_batch: Annotated[
        int, Field(ge=1, description="Most frames of one inference request under /v2; memory grows with them.")
    ] = 8
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="Least severity that is logged; `debug` for our own loggers only."),
    ] = "info"
    log_format: Annotated[Literal["text", "json"], Field(description="`json`: one object a line, times in UTC.")] = (
        "text"
    )

    @field_validator("models_dir", "tensorrt_cache", "data_dir", "keys_file", mode="before")
    @classmethod
    def _is_named(cls, path: object) -> object:
        if path == "":  # pathlib takes it for the folder that the service was started in
            raise ValueError("Expected a path: unset it, or name one")
        return path

    @field_validator("require_gpu")
    @classmethod
    def _needs_another_provider(cls, required: bool, known: ValidationInfo) -> bool:
        if required and known.data.get("provider") == "cpu":
            raise ValueError("Expected POLYPRUNE_PROVIDER other than cpu with it")
        return required

    @field_validator("cuda_graphs")
    @classmethod
    def _belong_to_cuda(cls, graphs: bool, known: ValidationInfo) -> bool:
        if graphs and known.data.get("provider") == "tensorrt":
            raise ValueError("TensorRT records one graph only, and there are several sizes: expected cuda or auto")
        return graphs

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: str) -> str:
        for proxy in [] if proxies in ("", "*") else proxies.split(","):
            _check_network(proxy.strip())
        return proxies

    @field_validator("tls_certificate")
    @classmethod
    def _has_certificates(cls, certificate: Path | None) -> Path | None:
        if certificate:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
            except OSError as error:
                raise ValueError(f"Expected a PEM file of certificates ({error})") from error
        return certificate

    @field_validator("tls_key")
    @classmethod
    def _belongs_to_a_certificate(cls, key: Path | None, known: ValidationInfo) -> Path | None:
        certificate = known.data.get("tls_certificate")
        if certificate:
            _check_pair(certificate, key)
        elif key and "tls_certificate" in known.data:  # else it was refused
            raise ValueError("Expected POLYPRUNE_TLS_CERTIFICATE with it")
        return key


def _check_network(text: str) -> None:
    """Raise ValueError unless it is an address, or a network that uvicorn would match anything with."""
    network = ip_network(text, strict=False)
    if "/" in text and ip_interface(text).ip != network.network_address:
        raise ValueError(f"{text} has host bits set: expected {network}")


def _check_pair(certificate: Path, key: Path | None) -> None:
    """Raise ValueError unless the server can use both."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
    except OSError as error:
        raise ValueError(f"Expected the PEM file of the certificate's private key ({error})") from error


def _no_password() -> str:
    raise ValueError("Expected a key that is not encrypted: nobody could type its password")


def unknown_names() -> list[str]:
    """Environment variables that carry the prefix and name no setting, likely misspelt.

    They are reported and not refused: Kubernetes adds some of its own (`POLYPRUNE_SERVICE_HOST`) where a
    service is called polyprune.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
