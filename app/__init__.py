"""Online half of Polyprune: a colonoscopy frame comes in over HTTP, a polyp mask goes out."""

import os

# Recent builds of onnxruntime for Linux and macOS report to their maker, and leave an id in the home folder, unless
# they are told not to before they are imported: https://github.com/microsoft/onnxruntime/pull/27379
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
