# Every target makes the environment it needs: a fresh machine wants python3 (3.11 or newer) and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo demo-kong real-kong test check bench protos openapi lock clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/'

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gatecast needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)  ## control plane, two upstreams and a real Envoy: one tenant's change, live
	$(BIN)/gatecast demo

# Under a name of its own: what `docker compose up` started is another Kong. Its host ports are the same, though.
STACK := docker compose --project-name gatecast-demo-kong --profile kong

demo-kong:  ## the same on Kong: a real one in containers where Docker runs, a double where it does not
	@if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory real-kong; \
	else \
		echo "No Docker with compose runs here, so a double stands in for Kong."; \
		$(MAKE) --no-print-directory $(READY) && $(BIN)/gatecast demo --kong; \
	fi

real-kong:
	@trap '$(STACK) down --volumes' EXIT INT TERM; \
	$(STACK) up --build --detach --wait kong && \
	$(STACK) exec -T --env KONG_ADMIN_URL=http://127.0.0.1:8001 --env KONG_PROXY_URL=http://127.0.0.1:8000 \
		orders gatecast demo --kong

test: $(READY)  ## every test, also those that start a real Envoy
	$(BIN)/pytest -q -n 2 --dist worksteal

check: $(READY)  ## ruff, mypy --strict, the import contract
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY)  ## the figures of docs/benchmarks.md: a table, and JSON under bench/results/
	$(BIN)/python bench/run.py

protos: $(READY)  ## regenerate protos/*_pb2.py (a test asserts that this changes nothing)
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. protos/*.proto

openapi: $(READY)  ## docs/openapi.json anew, from the code (a test asserts that this changes nothing)
	$(BIN)/python -m gatecast.api > docs/openapi.json

lock: $(READY)  ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements.lock

clean:  ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info bench/results bench/bin
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
