"""BentoML's service: bentoml serve serve_bentoml:Segment

As many `workers` as cores, as its documentation says for work that is bound by the CPU, each with one thread. The body
is taken and given as bytes: its `Path` type would write each frame to a file.
"""

from typing import Annotated

import bentoml
from pipeline import Pipeline, Task

TASK = Task.from_environment()


@bentoml.service(workers=TASK.workers, threads=1, logging={"access": {"enabled": False}})
class Segment:
    def __init__(self) -> None:
        self.pipeline = Pipeline(TASK)

    @bentoml.api(route="/segment")
    def segment(self, data: bytes, /) -> Annotated[bytes, bentoml.validators.ContentType("image/png")]:
        return self.pipeline(data)
