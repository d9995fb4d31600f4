"""The Open Inference Protocol (KServe v2) below HTTP: tensors, compression, statistics (docs/kserve.md)."""
