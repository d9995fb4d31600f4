"""What an operator can set, all from environment variables with the prefix `POLYPRUNE_`.

The same table is in `docs/settings.md`; a test keeps the two equal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "POLYPRUNE_"


class Settings(BaseSettings):
    """One service's settings. Nothing reads them at import: `main` hands out the values."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port to listen on; 0 for any free one.")] = 8000
    models_dir: Annotated[Path, Field(description="Folder of the model folders, `<name>/<version>/`.")] = Path("models")
    default_model: Annotated[
        str | None,
        Field(
            description="Model for requests that name none, as `name` or `name/version`. Unset: the first "
            "pruned model by name, or without one the first model by name."
        ),
    ] = None
    provider: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(
            description="Where networks run. `auto`: on a CUDA device if there is one. `cuda`: models that "
            "do not reach one are refused."
        ),
    ] = "auto"
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
        int, Field(ge=0, le=256, description="Frames that are worked on at once; 0 for one per CPU core.")
    ] = 0
    queue: Annotated[
        int | None,
        Field(ge=0, description="Requests that may wait for a worker; more get 503. Unset: four for each worker."),
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
        Field(ge=0, description="After SIGTERM or SIGINT, how long `/readyz` says 503 while requests still come in."),
    ] = 0.0
    grace_seconds: Annotated[
        int,
        Field(ge=0, description="After that, how long requests in flight may take before they are cut off."),
    ] = 8
    max_body_bytes: Annotated[
        int, Field(ge=1, description="Longest request body in bytes, multipart and chunked ones too.")
    ] = 32 * 2**20
    max_pixels: Annotated[
        int, Field(ge=1, description="Most pixels of a frame, width times height; checked before decoding.")
    ] = 2**24
    benchmark_max_iterations: Annotated[int, Field(ge=2, description="Most iterations of one benchmark.")] = 2000
    benchmark_max_batch: Annotated[int, Field(ge=1, description="Largest batch of one benchmark.")] = 16
    benchmark_max_seconds: Annotated[
        float, Field(gt=0, description="After these a benchmark ends with the iterations done until then.")
    ] = 300.0
    benchmark_history: Annotated[
        int,
        Field(ge=1, description="Benchmarks that are remembered, the newest; the service keeps no files."),
    ] = 20
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least severity that is logged.")
    ] = "info"
    log_format: Annotated[Literal["text", "json"], Field(description="`json`: one object a line, times in UTC.")] = (
        "text"
    )


def unknown_names() -> list[str]:
    """Environment variables that carry the prefix and name no setting, likely misspelt.

    They are reported and not refused: Kubernetes adds some of its own (`POLYPRUNE_SERVICE_HOST`) where a
    service is called polyprune.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
