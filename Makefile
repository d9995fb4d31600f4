# make serve   set up and run the service on 127.0.0.1:8000 with the models in models/
# make test    set up and run every check: format, lint, types, import rules, tests
# make format  format and sort imports in place

PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test format
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

.venv/bin/pip:
	$(PYTHON) -m venv .venv

# A stamp older than pyproject.toml installs again.
.venv/serve.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ .venv/serve.stamp
