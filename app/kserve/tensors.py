"""Inference requests and answers of the Open Inference Protocol (KServe v2), as JSON or with binary tensors.

A body is a JSON object, and after it, where a tensor has a `binary_data_size`, that tensor's bytes: little-endian,
row major (the binary tensor data extension). Or it is one frame's bytes alone (that extension's raw binary request).
The tensors are the network's own: frames UINT8 [N, H, W, 3] RGB at the network's size, probability FP32 [N, H, W].
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, StrictInt, ValidationError

from app.errors import BadInference
from app.manifest import InputSpec

INPUT = "frames"
OUTPUT = "probability"

# A list takes 2 bytes of JSON and 56 of memory, so that JSON is bounded by what a request of the most frames needs.
# A value takes 5 with its comma and a space; indented ones some more.
JSON_BYTES_A_VALUE = 8
JSON_BYTES_BESIDE = 2**16
LISTS_BESIDE = 1000  # and objects


class InputParameters(BaseModel):
    """Those of an input tensor; unknown ones are the network's business, and it has none."""

    binary_data_size: Annotated[StrictInt, Field(ge=0, description="bytes of the tensor after the JSON")] | None = None
    shared_memory_region: str | None = None


class InputTensor(BaseModel):
    """An input: its `data` in the JSON, flat or nested, or its bytes after it."""

    name: str
    datatype: str
    shape: list[StrictInt]
    parameters: InputParameters = InputParameters()
    data: Any = None


class OutputParameters(BaseModel):
    """Those of a requested output."""

    binary_data: bool | None = Field(
        default=None, description="answer with bytes after the JSON; else as the request says"
    )
    classification: int | None = None
    shared_memory_region: str | None = None


class RequestedOutput(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class RequestParameters(BaseModel):
    """Those of the whole request; sequence, priority and timeout mean nothing to a network without state."""

    binary_data_output: bool = Field(default=False, description="answer with bytes after the JSON")


class InferenceRequest(BaseModel):
    """The JSON object of an inference request."""

    id: str | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] = Field(default=[], description="all of them where empty")


@dataclass(frozen=True)
class Inference:
    """What an inference request came to.

    Attributes:
        id: to be echoed; None where none was sent.
        frames: uint8 [N, H, W, 3], RGB.
        binary: whether the probability goes out as bytes.
    """

    id: str | None
    frames: NDArray[np.uint8]
    binary: bool


def parse(body: bytes, header_length: int | None, spec: InputSpec, max_batch: int) -> Inference:
    """Read and check an inference request for a network.

    Args:
        body: the whole request body, inflated.
        header_length: of the JSON at its beginning, in bytes; None where it is all of the body, 0 where there is none
            and the body is one frame, which is answered in binary.
        spec: the network's size.
        max_batch: most frames of one request.

    Raises:
        BadInference: with what was expected and what came.
    """
    if header_length == 0:
        return Inference(None, _one_frame(body, spec), binary=True)
    end = len(body) if header_length is None else header_length
    if end > len(body):
        _refuse(f"Inference-Header-Content-Length is {end}, but the body has {len(body)} bytes.")
    _check_json(body, end, max_batch, spec)
    request = _request(body[:end])
    tensor = _input(request.inputs)
    _check_shape(tensor, spec, max_batch)
    return Inference(request.id, _frames(tensor, memoryview(body)[end:]), _binary(request))


def answer(inference: Inference, name: str, version: str, probability: NDArray[np.float32]) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of the JSON in it where bytes follow.

    Args:
        inference: that is answered.
        name, version: of the model.
        probability: float32 [N, H, W].
    """
    little = probability.astype("<f4", copy=False)
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": list(probability.shape)}
    if inference.binary:
        output["parameters"] = {"binary_data_size": little.nbytes}
    else:
        output["data"] = little.ravel().tolist()
    document = {"model_name": name, "model_version": version, "outputs": [output]}
    if inference.id is not None:
        document["id"] = inference.id
    header = json.dumps(document).encode()
    return (header + little.tobytes(), len(header)) if inference.binary else (header, None)


def _check_json(body: bytes, end: int, max_batch: int, spec: InputSpec) -> None:
    rows = max_batch * (spec.height + 1)
    most_bytes = rows * spec.width * 3 * JSON_BYTES_A_VALUE + JSON_BYTES_BESIDE
    most_lists = rows * (spec.width + 1) + LISTS_BESIDE
    if end > most_bytes:
        _refuse(f"The JSON has {end} bytes, and {max_batch} frames need at most {most_bytes}: send binary tensors.")
    if body.count(b"[", 0, end) + body.count(b"{", 0, end) > most_lists:
        _refuse(f"The JSON has more than {most_lists} lists and objects: send the data flat, or binary tensors.")


def _request(text: bytes) -> InferenceRequest:
    try:
        return InferenceRequest.model_validate(json.loads(text))
    except ValidationError as error:
        # Of the input no more than its place: it may be a frame of many megabytes.
        where = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())
        raise BadInference(f"The inference request does not follow the protocol: {where}") from error
    except (ValueError, RecursionError) as error:
        raise BadInference(
            f"The inference request is not JSON: {error}. With binary tensors after it, its length belongs into "
            "the header Inference-Header-Content-Length."
        ) from error


def _input(inputs: list[InputTensor]) -> InputTensor:
    if [tensor.name for tensor in inputs] != [INPUT]:
        _refuse(f"Expected one input, {INPUT!r}, got {[tensor.name[:64] for tensor in inputs[:8]]}.")
    tensor = inputs[0]
    if tensor.datatype != "UINT8":
        _refuse(f"Input {INPUT!r}: expected the datatype UINT8, got {tensor.datatype[:64]!r}.")
    if tensor.parameters.shared_memory_region is not None:
        _refuse("Shared memory is not read here: send the tensor in the request.")
    return tensor


def _check_shape(tensor: InputTensor, spec: InputSpec, max_batch: int) -> None:
    size = [*spec.size, 3]
    if tensor.shape[1:] != size or not 1 <= tensor.shape[0] <= max_batch:
        wanted = ", ".join(map(str, size))
        _refuse(
            f"Input {INPUT!r}: expected the shape [N, {wanted}] with N from 1 to {max_batch}, got {tensor.shape[:8]}."
        )


def _frames(tensor: InputTensor, rest: memoryview) -> NDArray[np.uint8]:
    size = tensor.parameters.binary_data_size
    if len(rest) != (size or 0):
        _refuse(f"Expected {size or 0} bytes of tensors after the JSON, as binary_data_size says, got {len(rest)}.")
    if size is None:
        return _from_json(tensor)
    if tensor.data is not None:
        _refuse(f"Input {INPUT!r} has both data and binary_data_size: send one of them.")
    if size != math.prod(tensor.shape):
        _refuse(f"Input {INPUT!r}: {tensor.shape} is {math.prod(tensor.shape)} bytes, got {size}.")
    return np.frombuffer(rest, np.uint8).reshape(tensor.shape)


def _one_frame(body: bytes, spec: InputSpec) -> NDArray[np.uint8]:
    shape = [1, *spec.size, 3]
    if len(body) != math.prod(shape):
        _refuse(f"A body without JSON is one frame, {shape}: expected {math.prod(shape)} bytes, got {len(body)}.")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _from_json(tensor: InputTensor) -> NDArray[np.uint8]:
    try:
        values = np.asarray(tensor.data)
    except ValueError:  # rows of different lengths
        values = np.empty(0)
    if values.dtype != np.int64 or values.shape not in (tuple(tensor.shape), (math.prod(tensor.shape),)):
        _refuse(f"Input {INPUT!r}: data has to be whole numbers, flat or nested, that fill the shape {tensor.shape}.")
    if values.min() < 0 or values.max() > 255:
        _refuse(f"Input {INPUT!r}: expected values from 0 to 255, got {values.min()} to {values.max()}.")
    return values.astype(np.uint8).reshape(tensor.shape)


def _binary(request: InferenceRequest) -> bool:
    if not request.outputs:
        return request.parameters.binary_data_output
    if [output.name for output in request.outputs] != [OUTPUT]:
        _refuse(f"The one output is {OUTPUT!r}, got {[output.name[:64] for output in request.outputs[:8]]}.")
    parameters = request.outputs[0].parameters
    if parameters.classification or parameters.shared_memory_region is not None:
        _refuse(f"Output {OUTPUT!r} goes out as a tensor in the answer: no classification, no shared memory.")
    binary = parameters.binary_data
    return request.parameters.binary_data_output if binary is None else binary


def _refuse(message: str) -> NoReturn:
    raise BadInference(message)
