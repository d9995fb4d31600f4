"""The model.py of Triton's Python backend: one request at a time, the frame as bytes in, the mask as bytes out."""

import numpy as np
import triton_python_backend_utils as pb_utils
from pipeline import Pipeline, Task


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002  (the interface is Triton's)
        self.pipeline = Pipeline(Task.from_environment())

    def execute(self, requests: list) -> list:
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        frame = pb_utils.get_input_tensor_by_name(request, "frame").as_numpy()
        mask = np.frombuffer(self.pipeline(frame.tobytes()), np.uint8)
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("mask", mask)])
