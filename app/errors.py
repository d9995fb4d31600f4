"""Every error that `app` raises on purpose, as one tree.

    PolypruneError                    status  type
    ├── RequestError
    │   ├── BadParameter             422  bad-parameter
    │   ├── BadBody                  422  bad-body
    │   ├── BadInference             400  bad-inference
    │   ├── BodyTooLarge             413  body-too-large
    │   ├── BodyTooSlow              408  body-too-slow
    │   ├── TooManyFrames            413  too-many-frames
    │   ├── NotAcceptable            406  not-acceptable
    │   └── UnsupportedMediaType     415  unsupported-media-type
    ├── FrameError
    │   ├── NotAnImage               415  not-an-image
    │   ├── UnsupportedFrame         415  unsupported-frame
    │   ├── CorruptFrame             422  corrupt-frame
    │   ├── FrameTooLarge            413  frame-too-large
    │   ├── NotDicom                 422  not-dicom
    │   └── IncompleteDicom          422  incomplete-dicom
    ├── ModelError
    │   ├── UnknownModel             404  unknown-model
    │   ├── NoModelReady             503  no-model-ready
    │   ├── ModelRefused             422  model-refused
    │   ├── ModelIsDefault           409  model-is-default
    │   ├── NetworkFailed            500  network-failed
    │   ├── ModelOutOfService        503  model-out-of-service
    │   └── GpuRequired                -  (no model runs on one; stops the start)
    ├── AccessError
    │   ├── Unauthorized             401  unauthorized
    │   ├── Forbidden                403  forbidden
    │   ├── TooManyFailures          429  too-many-failures
    │   ├── TooManyRequests          429  too-many-requests
    │   └── KeysRefused                -  (a keys file that cannot be used; stops the start)
    ├── AvailabilityError
    │   ├── Overloaded               503  overloaded
    │   ├── Draining                 503  draining
    │   ├── DeviceLost               503  device-lost
    │   └── TooManyStreams           503  too-many-streams
    └── BenchmarkError
        ├── UnknownBenchmark         404  unknown-benchmark
        ├── BenchmarkRunning         409  benchmark-running
        ├── NoResult                 409  no-result
        └── ResultsUnavailable       503  results-unavailable

Each message says what was expected, what came, and what to do. `app/routes/problems` turns an error into
an RFC 9457 problem document; nothing here knows HTTP beyond the status number.
"""

# ruff: noqa: N818  (the tree says that they are errors; CorruptFrame reads better than CorruptFrameError)

from __future__ import annotations

from typing import ClassVar


class PolypruneError(Exception):
    """Root of the tree.

    `example` is what the API documentation shows as a message; `extra` holds further members of the
    problem document (RFC 9457, section 3.2).
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    example: ClassVar[str] = ""

    def __init__(self, message: str, **extra: object) -> None:
        super().__init__(message)
        self.extra = extra


class RequestError(PolypruneError):
    """The request itself, before anyone has looked at the frame."""


class BadParameter(RequestError):
    """A parameter outside of what is documented."""

    status = 422
    slug = "bad-parameter"
    title = "Parameter not accepted"
    example = "threshold: Input should be less than or equal to 1"


class BadBody(RequestError):
    """Empty, malformed, or with other parts than the one frame that is expected."""

    status = 422
    slug = "bad-body"
    title = "Request body not accepted"
    example = "Expected one multipart field named 'file' with a frame, and none came."


class BadInference(RequestError):
    """An inference request of the Open Inference Protocol that does not fit the protocol or the network."""

    status = 400
    slug = "bad-inference"
    title = "Inference request not accepted"
    example = "Input 'frames': expected the shape [N, 320, 320, 3] with N from 1 to 8, got [1, 64, 64, 3]."


class BodyTooLarge(RequestError):
    """More bytes than the service takes, declared or sent."""

    status = 413
    slug = "body-too-large"
    title = "Request body too large"
    example = "The body is longer than the limit of 33554432 bytes: send a compressed or smaller frame."


class BodyTooSlow(RequestError):
    """A body that trickles in, and holds a connection and memory meanwhile."""

    status = 408
    slug = "body-too-slow"
    title = "Request body too slow"
    example = "The body did not come whole within 60 s: send a smaller frame, or faster."


class TooManyFrames(RequestError):
    """A batch, or a DICOM object for a Segmentation, of more frames than the service takes at once."""

    status = 413
    slug = "too-many-frames"
    title = "Too many frames in one request"
    example = "The batch has 80 frames, and at most 64 are taken: send several batches."


class NotAcceptable(RequestError):
    """No output has a media type that `Accept` allows."""

    status = 406
    slug = "not-acceptable"
    title = "No acceptable output"
    example = (
        "None of image/png, image/jpeg, application/json is accepted by 'text/html': change Accept, or name an "
        "output with output=."
    )


class UnsupportedMediaType(RequestError):
    """A content type that the endpoint does not read."""

    status = 415
    slug = "unsupported-media-type"
    title = "Content type not accepted"
    example = (
        "Expected multipart/form-data, image/*, application/dicom or application/octet-stream, got 'text/plain': "
        "set Content-Type."
    )


class FrameError(PolypruneError):
    """The frame that was sent."""


class NotAnImage(FrameError):
    """No format that is read here starts like these bytes."""

    status = 415
    slug = "not-an-image"
    title = "Not an image"
    example = "Expected a JPEG, PNG, TIFF, BMP, WebP or DICOM image; these bytes start like none of them."


class UnsupportedFrame(FrameError):
    """An image, but with samples that have no defined range or colour here."""

    status = 415
    slug = "unsupported-frame"
    title = "Kind of image not supported"
    example = "Frames with samples of type 'F' are not read: send grey or RGB of 8 or 16 bits."


class CorruptFrame(FrameError):
    """Truncated or damaged; a frame is decoded whole or not at all."""

    status = 422
    slug = "corrupt-frame"
    title = "Frame truncated or corrupt"
    example = "The JPEG frame could not be decoded whole: Premature end of JPEG file"


class FrameTooLarge(FrameError):
    """More pixels than the service takes, by the header alone."""

    status = 413
    slug = "frame-too-large"
    title = "Frame has too many pixels"
    example = "The frame is 65500 x 65500 pixels, and at most 16777216 are taken: send a smaller one."


class NotDicom(FrameError):
    """A DICOM answer refers to a DICOM object, and none came."""

    status = 422
    slug = "not-dicom"
    title = "Not a DICOM object"
    example = (
        "output=dicom-seg refers to the DICOM object it is of, and the frame is none: send one, or ask for a mask."
    )


class IncompleteDicom(FrameError):
    """A DICOM image without what another object needs to refer to it."""

    status = 422
    slug = "incomplete-dicom"
    title = "DICOM object incomplete"
    example = "A Segmentation cannot refer to the object, since it has no StudyInstanceUID: complete it."


class ModelError(PolypruneError):
    """The network that was asked for."""


class UnknownModel(ModelError):
    """No ready model of this name and version."""

    status = 404
    slug = "unknown-model"
    title = "Unknown model"
    example = "No model 'polyp-x' is ready. Ready: polyp-lite0-dense/1, polyp-lite0-pruned/1"


class NoModelReady(ModelError):
    """Nothing can serve."""

    status = 503
    slug = "no-model-ready"
    title = "No model is ready"
    example = "No model is ready: see /readyz for what was refused and why."


class ModelRefused(ModelError):
    """A model folder that does not keep what it promises, with the reason."""

    status = 422
    slug = "model-refused"
    title = "Model refused"
    example = "polyp-x/2: golden.npz is not readable: No such file or directory What was loaded before serves on."


class ModelIsDefault(ModelError):
    """Unloading it would leave requests that name no model without one."""

    status = 409
    slug = "model-is-default"
    title = "Model is the default"
    example = "'polyp-x' is the default model: PUT /v1/models/default another one first."


class NetworkFailed(ModelError):
    """onnxruntime raised while the network ran."""

    status = 500
    slug = "network-failed"
    title = "The network failed"
    example = "The network of polyp-x/2 failed on this frame: Non-zero status code returned while running Conv node."


class ModelOutOfService(ModelError):
    """Its sessions failed; `retry_after` are the seconds to wait for new ones."""

    status = 503
    slug = "model-out-of-service"
    title = "Model out of service"
    example = (
        "polyp-x/2 is out of service after CUDA failure 2: out of memory: new sessions are being tried, come back in "
        "1 s, or name another model."
    )


class GpuRequired(ModelError):
    """The operator asked for a GPU, and no model runs on one."""


class AccessError(PolypruneError):
    """Who asks, and how often. `retry_after` is in seconds, and answers as the header too."""


class Unauthorized(AccessError):
    """No key, or a wrong one."""

    status = 401
    slug = "unauthorized"
    title = "Key missing or wrong"
    example = "Expected an API key, and none came: send it as 'X-API-Key: ...' or 'Authorization: Bearer ...'."


class Forbidden(AccessError):
    """A key, but not one that may do this."""

    status = 403
    slug = "forbidden"
    title = "Not allowed with this key"
    example = "Expected an admin key, and 'clinic-a' is a user's: ask the operator for one."


class TooManyFailures(AccessError):
    """One wrong key after the other."""

    status = 429
    slug = "too-many-failures"
    title = "Too many wrong keys"
    example = "Too many wrong keys came from this address: check the key before you try again."


class TooManyRequests(AccessError):
    """More than this caller may ask in this time, or at once."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"
    example = "At most 5 requests a second, and 10 at once: wait 0.2 s."


class KeysRefused(AccessError):
    """A keys file that cannot be used, with the place and the reason."""


class AvailabilityError(PolypruneError):
    """The service has no time for the request, or soon none for any."""


class Overloaded(AvailabilityError):
    """More requests than the workers can answer in time; `retry_after` are the seconds to wait."""

    status = 503
    slug = "overloaded"
    title = "Too many requests at once"
    example = "8 requests wait already, the most that may: try again in 1 s, or with another instance."


class Draining(AvailabilityError):
    """The service is about to stop."""

    status = 503
    slug = "draining"
    title = "The service stops"
    example = "The service was told to stop: send new requests to another instance."


class DeviceLost(AvailabilityError):
    """The CUDA context is lost, and this process never gets another."""

    status = 503
    slug = "device-lost"
    title = "The GPU is lost"
    example = "The process has lost its CUDA context, and gets no new one: restart it."


class TooManyStreams(AvailabilityError):
    """As many streams as the service holds open at once."""

    status = 503
    slug = "too-many-streams"
    title = "Too many streams"
    example = "16 streams are open, and no more are taken: close one, or set POLYPRUNE_MAX_STREAMS."


class BenchmarkError(PolypruneError):
    """The comparison of dense with pruned."""


class UnknownBenchmark(BenchmarkError):
    """No benchmark of this id, or one so old that its result was dropped."""

    status = 404
    slug = "unknown-benchmark"
    title = "Unknown benchmark"
    example = "No benchmark '7f3a' is here: the newest 100 are kept, and GET /benchmark lists them."


class BenchmarkRunning(BenchmarkError):
    """One at a time, since two would measure each other."""

    status = 409
    slug = "benchmark-running"
    title = "A benchmark is running"
    example = "Benchmark '7f3a' is running, and two would measure each other: wait for it."


class NoResult(BenchmarkError):
    """A benchmark that runs, failed or was stopped has nothing to export."""

    status = 409
    slug = "no-result"
    title = "The benchmark has no result"
    example = "Benchmark '7f3a' is running: wait until it is done."


class ResultsUnavailable(BenchmarkError):
    """The file of stored results cannot be used. Whatever is in it stays there, and masks are served."""

    status = 503
    slug = "results-unavailable"
    title = "Stored results cannot be used"
    example = "benchmarks.sqlite is damaged or no database: move it away, or put a copy in its place."
