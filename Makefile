# `make` alone lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
PYTHON ?=
ARGS ?=
# How many tests run side by side. The limit of what a newcomer's machine is assumed to have: two cores.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# The first interpreter that starts and is one we support; the environment's own when there is one (it is faster
# to ask). install.py says what to do when none fits.
SETUP = for python in $(PYTHON) $(BIN)/python python3.11 python3.12 python3; do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; then \
	    exec $$python deploy/install.py $(1); fi; done; \
	if command -v python3 >/dev/null 2>&1; then exec python3 deploy/install.py $(1); fi; \
	echo "No Python found. Warrant needs Python 3.11 or 3.12 (Debian 12: apt-get install python3 python3-venv)."; exit 1

.PHONY: help setup setup-dev setup-spark setup-torch run test test-all check format bench bench-gpu bench-ui gallery lock pin-images release clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv and install what Warrant runs on
	@$(call SETUP,)

setup-dev: ## also install what tests and checks need
	@$(call SETUP,--dev)

setup-spark: setup-dev ## make .venv-spark for scans by Spark and their tests (needs Java 17)
	$(BIN)/uv venv -q --allow-existing --python $(BIN)/python .venv-spark
	$(BIN)/uv pip install -q --python .venv-spark/bin/python -r requirements-spark.txt

setup-torch: setup-dev ## make .venv-torch for the tabular network and its tests (PyTorch, Lightning)
	$(BIN)/python -m venv .venv-torch
	.venv-torch/bin/python -m pip install -q "$$(grep '^torch==' requirements-gpu.txt)"
	$(BIN)/uv pip install -q --python .venv-torch/bin/python -r requirements-torch.txt

run: setup ## start everything with the demo workload at http://localhost:8501 (ARGS="--port 9000 --gateway-port 9001")
	@exec $(BIN)/warrant up --demo $(ARGS)

test: setup-dev ## the tests a newcomer runs, at most 12 minutes on two cores (ARGS="-k gateway")
	$(PYTEST) -m "not slow and not chaos" $(ARGS)

test-all: setup-dev ## every test: also slow, browser and chaos (SKIP_FAST=1: only what `make test` leaves out)
	$(PYTEST) $(if $(SKIP_FAST),-m "slow or chaos") $(ARGS)

check: setup-dev ## lint, formatting, types, contracts between packages, container files, what we are made of
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --config-file= client/warrant_client
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/python deploy/supply_chain.py secrets licences audit bill

format: setup-dev ## rewrite the code in the project's format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup-dev ## measure and write benchmarks/results.json (NAME=... measures one)
	$(BIN)/python -m benchmarks $(NAME)

bench-ui: setup-dev ## pages of a fleet of 500 models in a real Chromium, beside Streamlit, Evidently and MLflow
	$(BIN)/python -m benchmarks ui

bench-gpu: setup-dev setup-torch ## the tabular network on a GPU; without one the figures say so
	$(BIN)/python -m benchmarks gpu

gallery: setup-dev ## take the pictures of docs/gallery.md and of the README anew, from the demo (ARGS="--only change")
	$(BIN)/python -m tests.gallery $(ARGS)

lock: setup-dev ## pin again: requirements.txt and requirements-dev.txt from their .in files
	$(BIN)/uv pip compile --no-header --no-annotate --python-version 3.11 -q requirements.in -o requirements.txt
	$(BIN)/uv pip compile --no-header --no-annotate --python-version 3.11 -q requirements-dev.in -o requirements-dev.txt

pin-images: ## pin the images of others by digest: asks their registries, rewrites Dockerfile and compose files
	@python3 deploy/pin_images.py

release: ## tag a release that has all it needs (VERSION=0.1.0): its date, and the fixture of its schema
	@$(BIN)/python deploy/release.py $(VERSION)

clean: ## remove .venv and caches; the data in .warrant stay
	rm -rf build .venv .venv.lock .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find app backend jobs pages tests benchmarks deploy -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
