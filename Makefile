# Each target makes .venv by itself: nothing is needed but Python 3.11 to 3.13, make and a package registry.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/ready

.PHONY: help run test check format bench soak docs lock clean

help: ## What can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(READY) ## Serve on the embedded PostgreSQL; prints address, key and a curl line
	@exec $(BIN)/pedro-ledger serve

test: $(READY) ## Run every test that a fresh machine can run
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not thorough"

check: $(READY) ## Format, lint, types, import contract, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

format: $(READY) ## Put the code into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## Measure; see pedro-ledger bench --help
	$(BIN)/pedro-ledger bench

soak: $(READY) ## Break everything for MINUTES (10), and judge; ARGS="--help" tells more
	$(BIN)/python -m tests.system.faults.soak --minutes $(or $(MINUTES),10) $(ARGS)

docs: .venv/docs-ready ## Build the documentation's site into site/ and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --no-annotate
lock: ## Renew requirements.lock and requirements-docs.lock (needs uv)
	$(LOCK) --group dev pyproject.toml --output-file requirements.lock
	$(LOCK) --group docs --constraint requirements.lock --output-file requirements-docs.lock

clean: ## Remove what was made
	rm -rf .venv dist build site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: install one, or make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/docs-ready: requirements-docs.lock $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-docs.lock
	@touch $@
