"""LitServe's server: python serve_litserve.py PORT

`workers_per_device` is the number of cores, as its documentation says for the CPU; there are as many API servers,
which is its own default; `fast_queue` hands requests over through ZeroMQ, its way for high rates. The body is taken
raw through a dependency of FastAPI: JSON with base64, or a form, would cost it more.
"""

import sys
from typing import Annotated

import litserve
from fastapi import Depends, Request, Response
from pipeline import Pipeline, Task


async def body(request: Request) -> bytes:
    return await request.body()


class Segment(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002  (the interface is LitServe's)
        self.pipeline = Pipeline(Task.from_environment())

    def decode_request(self, request: Annotated[bytes, Depends(body)]) -> bytes:
        return request

    def predict(self, x: bytes) -> bytes:
        return self.pipeline(x)

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(
        Segment(), accelerator="cpu", devices=1, workers_per_device=Task.from_environment().workers, fast_queue=True
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
