# Locust and what the users in tests/load need of the service's messages. The tests themselves are mounted.
ARG BASE=python:3.12-slim
FROM ${BASE}
WORKDIR /load
COPY pyproject.toml README.md ./
COPY app app
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir ".[load]"
RUN useradd --system --uid 10001 --no-create-home polyprune
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
ENTRYPOINT ["python3", "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--only-summary"]
CMD ["--csv", "/reports/load", "--html", "/reports/load.html"]
