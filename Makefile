# Everything a developer, a first user or a CI machine starts. `make help` lists it.

VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.synced
JOBS   ?= 2
UPGRADE ?=
# More options for the quickstart's run: make quickstart RUN="--where repeat=0"
RUN    ?=
# More options for pytest: make unit PYTEST="-x -k units"
PYTEST ?=

# The first usable Python; override with `make setup PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup quickstart reference test lint types floors unit test-real lab lab-down test-labs bench format lock browser clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## make .venv with every locked package (hashes required) and benchcast itself

# uv is one of the locked packages: pip brings exactly that one, and uv brings the rest.
# Packages that come as source are built with the locked build tools too.
$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "make: no Python 3.11 to 3.13 with" \
	"venv found; install one (Debian: apt-get install python3-venv) or say PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^ *#/p' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes \
	--build-constraints requirements.lock requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: setup ## run the quickstart study on this machine and render its page
	$(BIN)/benchcast run studies/quickstart.toml $(RUN)
	$(BIN)/benchcast report studies/quickstart.toml

reference: setup ## measure results/reference anew (an hour on a quiet machine) and render it
	rm -rf results/reference reports/reference
	$(BIN)/benchcast run studies/reference.toml
	$(BIN)/python -m tests.reference trim
	$(BIN)/benchcast report results/reference
	$(BIN)/python -m tests.reference replay
	$(BIN)/python -m tests.reference readme

test: lint types floors unit ## the fast lane: style, types, floors and all tests but real campaigns and labs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy bench tests $(wildcard workloads/_common)
	@for main in $(wildcard workloads/*/main.py); do \
	echo "$(BIN)/mypy $$main"; $(BIN)/mypy $$main || exit 1; done

floors: setup
	$(BIN)/lint-imports

unit: setup
	$(BIN)/pytest -m "alone and not real and not lab" $(PYTEST)
	$(BIN)/pytest -m "not alone and not real and not lab" -n $(JOBS) --dist loadgroup $(PYTEST)

test-real: setup ## the real lane: campaigns and kill tests with real Spark and TensorFlow
	$(BIN)/pytest -m "real and not lab" --durations=12 $(PYTEST)

lab: setup ## bring up what the lab's tests need and this machine allows (Debian, as root; Go)
	@$(BIN)/python -m tests.labs.hosts
	@$(BIN)/python -m tests.labs.vcenter

lab-down: setup ## remove what crashed labs left
	@$(BIN)/python -m tests.labs.hosts down

test-labs: setup ## the lab's lane: hosts over SSH and a vCenter
	$(BIN)/pytest -m "lab and not alone" -n $(JOBS) --dist loadgroup --durations=5 $(PYTEST)
	$(BIN)/pytest -m "lab and alone" --durations=15 $(PYTEST)

bench: setup ## measure the harness itself (asv)
	cd tests/performance && ../../$(BIN)/asv machine --yes --machine here
	cd tests/performance && PYTHONPATH=../.. ../../$(BIN)/asv run --python=same --show-stderr --machine here

format: setup ## put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## write requirements.lock anew from pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --group dev --universal \
	--python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) \
	--output-file requirements.lock

browser: ## bring a browser for the tests of the report page (Debian, as root)
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then \
	echo "chromium is already here"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -qq --no-install-recommends \
	chromium chromium-driver fonts-dejavu-core; \
	else echo "make browser: needs Debian's apt-get and root; or install chromium and" \
	"chromium-driver by hand" >&2; exit 2; fi

clean: ## remove the environment, caches and build artefacts; results and reports stay
	rm -rf $(VENV) build dist .asv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find bench tests workloads studies -name __pycache__ -type d -prune -exec rm -rf {} +
