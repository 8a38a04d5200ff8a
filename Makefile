# Needs python3 (3.11 or newer) and, for the tests' real Kafka, Java 17 and Maven.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup demo test unit fuzz lint bench schemas sbom audit lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.setup-done ## Install everything the lock names, and this project, into .venv

demo: setup ## Play two weeks of a real course through the whole pipeline
	$(BIN)/leap demo

test: setup ## Run every test; real Kafka where Java and Maven are
	@$(BIN)/python -c 'from deploy import servers as s; s.kafka_available() and s.kafka_jars()'
	$(BIN)/pytest

unit: setup ## Run the tests that need no server
	$(BIN)/pytest -m unit

fuzz: setup ## Attack everything that is read with a million inputs
	$(BIN)/python -m tests.fuzz.run --inputs 1000000

lint: setup ## Check style, types, and who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## Measure throughput on this machine
	$(BIN)/leap bench

schemas: setup ## Write the JSON Schemas and the documents made from the code anew
	$(BIN)/leap schemas

sbom: setup ## List what ships in sbom.cdx.json (CycloneDX), from the lock
	$(BIN)/python -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --validate --output-file sbom.cdx.json

audit: setup ## Ask the package index for known vulnerabilities of what ships
	$(BIN)/pip-audit --requirement requirements.lock --disable-pip --strict --progress-spinner off

lock: setup ## Choose the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(UV_COMPILE) --upgrade --output-file requirements.lock
	$(UV_COMPILE) --upgrade --constraint requirements.lock --group dev --extra load --output-file requirements-dev.lock

clean: ## Remove what was made: .venv, caches, data of local runs
	rm -rf $(VENV) .cache .leap .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# The lock holds the build backend too, so the project itself installs without asking the network.
$(VENV)/.setup-done: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
