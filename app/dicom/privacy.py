"""Keeps what a DICOM object says about a person out of logs, error messages and warnings.

pydicom and highdicom quote attribute values in exceptions, log records and warnings. Their loggers are silenced,
their warnings are off, and whatever they raise becomes an error of ours with a text of ours.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config

from app.errors import FrameError, PolypruneError

LIBRARIES = ("pydicom", "highdicom", "pylibjpeg", "openjpeg", "jpeg_ls")


def silence() -> None:
    """Let no text of the libraries through, and let them take values that break the rules of their type.

    Real archives hold many such values; what matters of them is checked here.
    """
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE


@contextmanager
def wordless(error: type[FrameError], message: str) -> Iterator[None]:
    """Turn whatever the libraries raise into `error(message)`, without its cause, and let our own errors pass.

    Broad on purpose, as in `frames.corrupt_unless_decoded`; and the cause is dropped, since its text may quote
    a patient's name.
    """
    try:
        yield
    except PolypruneError:
        raise
    except Exception as cause:
        raise error(f"{message} ({type(cause).__name__})") from None


silence()
