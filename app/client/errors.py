"""What can go wrong, as one tree.

ClientError
├── SourceError     the frames cannot be read
├── OutputError     what comes back cannot be written
└── ServiceError    the service is not there, refuses, ends the stream, or answers no frame
"""

from __future__ import annotations


class ClientError(Exception):
    """Root of the tree; the message says what to do."""


class SourceError(ClientError):
    """No such video, folder or camera, or a frame in it that is not readable."""


class OutputError(ClientError):
    """No such folder, an unknown kind of video, or frames that do not fit into one."""


class ServiceError(ClientError):
    """From the connection or the service."""
