# make serve   set up and run the service on 127.0.0.1:8000 with the models in models/
# make test    set up and run every check: format, lint, types, import rules, tests
# make format  format and sort imports in place
# make lock    write docker/requirements*.txt again: what the image installs, as it was tested in .venv, with hashes
# make audit   look the locked packages up among known vulnerabilities; needs a network

PYTHON ?= python3
BIN := .venv/bin
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --constraint .venv/tested.txt --custom-compile-command 'make lock'

# PyPI's advisories by default; or `osv`.
VULNERABILITIES ?= pypi

.PHONY: serve test format lock audit
.DELETE_ON_ERROR:

serve: .venv/serve.stamp
	$(BIN)/python -m app

test: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

format: .venv/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Markers make one file for every platform and Python. A constraint holds only what is installed here, so that another
# architecture's onnxruntime is the newest.
lock: .venv/test.stamp
	$(BIN)/pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' >.venv/tested.txt
	$(LOCK) --extra container --output-file docker/requirements.txt
	$(LOCK) --extra container --extra cuda --output-file docker/requirements-cuda.txt

audit: .venv/test.stamp
	$(BIN)/pip-audit --vulnerability-service $(VULNERABILITIES) --disable-pip --strict --requirement docker/requirements-cuda.txt

.venv/bin/pip:
	$(PYTHON) -m venv .venv

# A stamp older than pyproject.toml installs again.
.venv/serve.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ .venv/serve.stamp
