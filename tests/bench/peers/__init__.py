"""The service beside other servers of the same ONNX file, in one run; see `__main__`."""
