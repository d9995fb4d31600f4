"""Every error that `app` raises on purpose, as one tree.

    PolypruneError                    status  type
    ├── RequestError
    │   ├── BadParameter             422  bad-parameter
    │   ├── BadBody                  422  bad-body
    │   ├── BodyTooLarge             413  body-too-large
    │   └── UnsupportedMediaType     415  unsupported-media-type
    ├── FrameError
    │   ├── NotAnImage               415  not-an-image
    │   ├── UnsupportedFrame         415  unsupported-frame
    │   ├── CorruptFrame             422  corrupt-frame
    │   └── FrameTooLarge            413  frame-too-large
    ├── ModelError
    │   ├── UnknownModel             404  unknown-model
    │   ├── NoModelReady             503  no-model-ready
    │   └── ModelRefused               -  (a folder that failed its proof; never answers a request)
    ├── AvailabilityError
    │   ├── Overloaded               503  overloaded
    │   └── Draining                 503  draining
    └── BenchmarkError
        ├── UnknownBenchmark         404  unknown-benchmark
        └── BenchmarkRunning         409  benchmark-running

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


class BodyTooLarge(RequestError):
    """More bytes than the service takes, declared or sent."""

    status = 413
    slug = "body-too-large"
    title = "Request body too large"
    example = "The body is longer than the limit of 33554432 bytes: send a compressed or smaller frame."


class UnsupportedMediaType(RequestError):
    """A content type that the endpoint does not read."""

    status = 415
    slug = "unsupported-media-type"
    title = "Content type not accepted"
    example = "Expected multipart/form-data, image/* or application/octet-stream, got 'text/plain': set Content-Type."


class FrameError(PolypruneError):
    """The frame that was sent."""


class NotAnImage(FrameError):
    """No format that is read here starts like these bytes."""

    status = 415
    slug = "not-an-image"
    title = "Not an image"
    example = "Expected a JPEG, PNG, TIFF, BMP or WebP image; these bytes start like none of them."


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


class BenchmarkError(PolypruneError):
    """The comparison of dense with pruned."""


class UnknownBenchmark(BenchmarkError):
    """No benchmark of this id, or one so old that its result was dropped."""

    status = 404
    slug = "unknown-benchmark"
    title = "Unknown benchmark"
    example = "No benchmark '7f3a': the newest 20 are kept while the service runs."


class BenchmarkRunning(BenchmarkError):
    """One at a time, since two would measure each other."""

    status = 409
    slug = "benchmark-running"
    title = "A benchmark is running"
    example = "Benchmark '7f3a' is running, and two would measure each other: wait for it."
