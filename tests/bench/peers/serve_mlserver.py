"""MLServer's runtime: a custom handler, which takes and gives raw bytes, in the pool of worker processes.

Its inference protocol has no binary bodies over HTTP, and base64 in JSON would cost it more.
"""

from typing import Annotated

from fastapi import Depends, Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler
from pipeline import Pipeline, Task


async def body(request: Request) -> bytes:
    return await request.body()


class Segment(MLModel):
    async def load(self) -> bool:
        self.pipeline = Pipeline(Task.from_environment())
        return True

    @custom_handler(rest_path="/segment")
    async def segment(self, data: Annotated[bytes, Depends(body)]) -> Response:
        return Response(self.pipeline(data), media_type="image/png")
