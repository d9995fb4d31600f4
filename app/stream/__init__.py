"""A stream of frames: the newest is segmented, lesions keep their ids (docs/streaming.md)."""
