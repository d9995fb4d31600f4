"""The model.py of Triton's Python backend: one request at a time, the frame as bytes in, the mask as bytes out.

Tensors are handed over by DLPack, without a copy: `as_numpy` of the wheel's backend is built for numpy 1, and fills
arrays of numpy 2 with their first byte.
"""

import numpy as np
import triton_python_backend_utils as pb_utils
from pipeline import Pipeline, Task


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002  (the interface is Triton's)
        self.pipeline = Pipeline(Task.from_environment())

    def execute(self, requests: list) -> list:
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        frame = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "frame"))
        mask = np.frombuffer(bytearray(self.pipeline(frame)), np.uint8)  # DLPack takes no memory that is read-only
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor.from_dlpack("mask", mask)])
