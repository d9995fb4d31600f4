"""A client of `WS /v1/stream`: a video, a folder of frames or a camera goes out, masks come back.

    sources  --pixels-->  session  <--JPEG, masks-->  service
                             |
             outputs (overlay video, mask files, JSON lines), live (frames a second, round trips)

It shares `app.message` with the service and nothing else.
"""
