"""The service as a Ray Serve deployment, for more than one machine; needs the extra `scale`.

    serve run app.scale:application min_replicas=1 max_replicas=4 cpus=2

Every replica is the whole service, with its settings from the environment. Ray sends requests to the replica that
has fewest, adds and removes replicas by how many each has, and replaces one that is not ready.
"""

# No postponed annotations here: Ray looks at the type of `application`'s argument.

import math
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray import serve

from app.main import SPARE_WORKERS, create_app, queue_for
from app.settings import Settings


class Scale(BaseModel):
    """How many replicas, and what each may use."""

    model_config = ConfigDict(extra="forbid")

    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 4
    cpus: Annotated[float, Field(gt=0, description="cores of a replica: its workers and its threads")] = 1
    gpus: Annotated[float, Field(ge=0, description="share of a GPU; 0.25 puts four replicas on one")] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, less than min_replicas, {self.min_replicas}")
        return self


def application(scale: Scale) -> serve.Application:
    """What `serve run` and a Serve config file deploy, with the arguments of `Scale`."""
    cores = max(1, math.floor(scale.cpus))
    settings = _settings(cores)

    @serve.deployment(
        name="polyprune",
        ray_actor_options={"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        # One more than workers and queue, so that the service's own answer to overload is heard.
        max_ongoing_requests=settings.workers + (settings.queue or 0) + 1,
        autoscaling_config={
            "min_replicas": scale.min_replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": 2 * cores,
        },
        health_check_period_s=5,
        graceful_shutdown_timeout_s=settings.grace_seconds,
    )
    @serve.ingress(lambda: create_app(_settings(cores)))
    class Replica:
        app: Any  # that `ingress` made

        def check_health(self) -> None:
            """As `/readyz`: a replica whose default model is not ready is replaced."""
            self.app.state.services.check_ready()

    return Replica.bind()  # type: ignore[attr-defined]


def _settings(cores: int) -> Settings:
    """A replica's workers, queue and threads go by its own cores, unless the environment says otherwise."""
    settings = Settings()
    workers = settings.workers or cores + SPARE_WORKERS
    own = {"workers": workers, "queue": queue_for(settings, workers), "threads": settings.threads or cores}
    return settings.model_copy(update=own)
