# Locust and what the users in tests/load need of the service's messages. The tests themselves are mounted.
ARG BASE=python:3.12-slim

FROM ${BASE} AS install
WORKDIR /src
RUN python3 -m venv /venv
COPY pyproject.toml README.md ./
COPY app app
# The users read messages and run no network: what serving needs most of the room for goes again.
RUN /venv/bin/pip install --no-cache-dir ".[load]" && \
    /venv/bin/pip uninstall --yes onnxruntime-gpu onnxruntime opencv-python-headless

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home polyprune
COPY --from=install /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /load
ENTRYPOINT ["python3", "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--only-summary"]
CMD ["--csv", "/reports/load", "--html", "/reports/load.html"]
