# Everything from a bare clone: Python 3.11 or newer, make and the Python package registry are enough.
# Each command builds `.venv` from the hash-locked files in `requirements/` and does so again only when they change.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The first one that is new enough and can make environments; a shim that is there but not active counts as absent.
SUITABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$name -c '$(SUITABLE)' >/dev/null 2>&1 && { echo $$name; break; }; done)

# Every package exactly as locked. Ours is installed in place by the locked build tools, not by some fetched for the occasion.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := $(PIP) install --require-hashes
NPM := command -v npm >/dev/null || $(BIN)/python hatch_build.py || $(LOCKED) --requirement requirements/node.txt
# pip hides what a build prints unless it fails; the build of the pages leaves its reason in this file.
OURS := $(PIP) install --no-build-isolation --no-deps --editable . && { ! test -e build/frontend/failure.txt || cat build/frontend/failure.txt >&2; }

# More processes than cores, as tests mostly wait; a file stays in one of them, as its tests share servers.
PYTEST := $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

# What the installation of ours depends on: its metadata, and what it fetches for the pages.
BUILT := pyproject.toml hatch_build.py cryptomarket/web/frontend/package-lock.json

# The versions and hashes of all platforms and Python versions in one file, without the addresses they came from.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(UPGRADE)

# Other people's clients that the system tests run.
CLIENTS := ccxt coinbase cryptofeed nautilus ssc2ce

.PHONY: help demo run test test-system lint check check-compose screenshots bench bench-bus bench-scale bench-logins bench-login-attack bench-costs bench-price exchange-document fuzz chaos attack login-day exchange-day audit sbom lock clean
.DEFAULT_GOAL := help

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1@/' | awk -F@ '{ printf "%-20s %s\n", $$1, $$2 }'

demo: $(VENV)/run.stamp ## A simulated exchange, the gateway, SQLite and the page; no network, no account
	@$(BIN)/cryptomarket demo $(ARGS)

run: $(VENV)/run.stamp ## The gateway against the real exchange
	@$(BIN)/cryptomarket serve $(ARGS)

test: $(VENV)/test.stamp ## The fast tests (ARGS="tests/stream -x" for some)
	@$(PYTEST) -m "not system" $(ARGS)

test-system: $(VENV)/test.stamp ## Whole clusters, crowds, browsers, faults, other people's clients
	@$(PYTEST) --numprocesses 5 -m "system and not crowd" $(ARGS)
	@$(if $(ARGS),,$(PYTEST) --numprocesses 0 -m crowd)

screenshots: $(VENV)/test.stamp ## Pictures of the pages in artifacts/, and docs/board.png for the README
	@$(BIN)/python -m pytest --quiet tests/browser/test_screenshots.py
	@cp artifacts/board.png docs/board.png

lint: $(VENV)/test.stamp ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: lint test ## All that must hold before a commit: lint and the fast tests

check-compose: $(VENV)/test.stamp ## The compose file and what it mounts; by docker itself where there is one
	@$(BIN)/python -m pytest --quiet tests/test_compose.py

bench: $(VENV)/test.stamp ## Measure beside the field's usual answers; loopback only, some minutes
	@$(BIN)/python -m tests.benchmarks.fanout
	@$(BIN)/python -m tests.benchmarks.history

bench-bus: $(VENV)/test.stamp ## What the bus costs with 1, 2, 4 and 8 nodes, two minutes
	@$(BIN)/python -m tests.benchmarks.bus

bench-scale: $(VENV)/test.stamp ## A hundred thousand streams on this machine for three minutes (ARGS="--streams N")
	@$(BIN)/python -m tests.benchmarks.scale $(ARGS)

bench-logins: $(VENV)/test.stamp ## A thousand log-ins at once, two minutes (ARGS="1000 500": half of them with wrong keys)
	@$(BIN)/python -m tests.persons.login_crowd $(or $(ARGS),1000)

bench-login-attack: $(VENV)/test.stamp ## Wrong log-ins of a thousand addresses beside honest ones, some minutes (ARGS="1000 90": 90 honest)
	@$(BIN)/python -m tests.persons.login_attack $(or $(ARGS),1000)

bench-price: $(VENV)/test.stamp ## What a price costs after 100,000 instruments have ended, and what 5,000 listings cost, seconds
	@$(BIN)/python -m tests.benchmarks.price

bench-costs: $(VENV)/test.stamp ## What the dearest anonymous request of each route costs, ten seconds
	@$(BIN)/python -m tests.benchmarks.costs

exchange-document: $(VENV)/test.stamp ## Write docs/exchange.md from the statements about the exchange
	@$(BIN)/python -m tests.statements.document

fuzz: $(VENV)/test.stamp ## Broken bytes at the HTTP socket, and a million broken frames of the exchange (ARGS="--count N" for more)
	@RAW_EXAMPLES=5000 $(BIN)/python -m pytest --quiet tests/app/test_raw_requests.py
	@$(BIN)/python -m tests.deribit.fuzz $(ARGS)

chaos: $(VENV)/test.stamp ## Everything that can befall a cluster, for an hour (ARGS="--only storms --minutes 1")
	@$(BIN)/python -m tests.cluster.chaos $(ARGS)

attack: $(VENV)/test.stamp ## Every attack at once on one gateway beside honest users, four minutes (ARGS="--seconds 60 --only HalfHeads")
	@$(BIN)/python -m tests.attack.run $(ARGS)

login-day: $(VENV)/test.stamp ## 27 simulated hours of 50 logins with restarts and evictions, some minutes (ARGS="--persons 6 --step 600"; ARGS="--door coinbase")
	@$(BIN)/python -m tests.persons.login_day $(ARGS)

exchange-day: $(VENV)/test.stamp ## 26 simulated hours of 200 streams that follow options as they expire, 5 minutes (ARGS="--hours 2")
	@$(BIN)/python -m tests.app.exchange_day $(ARGS)

audit: $(VENV)/audit.stamp ## Ask whether anything we lock has a known vulnerability; offline the project's own floors judge
	@$(BIN)/python -m tests.supply.audit

sbom: $(VENV)/test.stamp ## The bill of materials as CycloneDX JSON, in dist/
	@mkdir -p dist && $(BIN)/python -m tests.supply.sbom > dist/cryptomarket.cdx.json && echo dist/cryptomarket.cdx.json

lock: $(VENV)/lock.stamp ## Write requirements/ anew from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@$(COMPILE) --extra test --group build pyproject.toml --output-file requirements/test.txt
	@$(COMPILE) --constraints requirements/test.txt pyproject.toml --output-file requirements/run.txt
	@$(COMPILE) --constraints requirements/test.txt --extra celery pyproject.toml --output-file requirements/celery.txt
	@$(COMPILE) --constraints requirements/test.txt --group build --output-file requirements/build.txt
	@$(COMPILE) --constraints requirements/test.txt --group audit --output-file requirements/audit.txt
	@$(COMPILE) --group node --output-file requirements/node.txt
	@$(COMPILE) --group lock --output-file requirements/lock.txt
	@for client in $(CLIENTS); do $(COMPILE) --group $$client --output-file requirements/clients/$$client.txt || exit 1; done

clean: ## Remove the environment and everything generated
	rm -rf $(VENV) build dist artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cryptomarket tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUITABLE)' 2>/dev/null || { \
		echo "cryptomarket needs Python 3.11 or newer with its venv module; found: $(or $(PYTHON),none on the PATH)." \
		"Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version); the first time this takes a minute."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/build.txt requirements/run.txt $(BUILT) | $(BIN)/pip
	@$(LOCKED) --requirement requirements/build.txt --requirement requirements/run.txt
	@$(NPM)
	@$(OURS)
	@touch $@

# What tests need holds all that running needs, in the same versions.
$(VENV)/test.stamp: requirements/test.txt $(BUILT) | $(BIN)/pip
	@$(LOCKED) --requirement requirements/test.txt
	@$(NPM)
	@$(OURS)
	@touch $@ $(VENV)/run.stamp

$(VENV)/audit.stamp: requirements/audit.txt $(VENV)/test.stamp | $(BIN)/pip
	@$(LOCKED) --requirement requirements/audit.txt
	@touch $@

$(VENV)/lock.stamp: requirements/lock.txt | $(BIN)/pip
	@$(LOCKED) --requirement requirements/lock.txt
	@touch $@
