# `make demo` and `make test` do all their own set-up; `make help` lists the rest.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
EXAMPLE ?= chat
PYTEST_ARGS ?=
# Two processes share the tests, which wait for servers much of the time. PYTEST_ARGS="-n 0 ..." runs them in one.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist worksteal
# The tests of daphne.protocol that need no socket have to cover every branch of it by themselves.
MEASURED := $(BIN)/pytest -m "measured and not slow" tests/daphne/protocol --cov=daphne.protocol --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered
# Nothing of a part of the tests may have a fallback (5: no tests were collected).
NONE_IS_FINE = $(if $(PYTEST_ARGS),|| [ $$? -eq 5 ])
EXTENSION_SOURCES := $(wildcard _speedups/*.pyx _speedups/*.pxi _speedups/*.h)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What the tests start imports much: the bytecode is kept, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
# The servers are installed beside the virtual environment.
MAKEFLAGS += --jobs=2
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@.ci/check-tools $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The editable install: pure Python through the mapping, extensions built beside their sources.
# Without setuptools' banner on such installs, which looks like a failure.
$(VENV)/.installed: export PYTHONWARNINGS := ignore:Editable installation
$(VENV)/.installed: $(BIN)/python pyproject.toml setup.py $(EXTENSION_SOURCES)
	CHANNELS_REQUIRE_EXTENSIONS=1 $(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.tests-installed: $(VENV)/.installed tests/requirements.txt docs/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement tests/requirements.txt --requirement docs/requirements.txt
	@touch $@

.PHONY: demo
demo: $(VENV)/.installed ## Run the chat example on http://127.0.0.1:8000/ (EXAMPLE=liveblog, PORT=... for others)
	$(BIN)/python examples/$(EXAMPLE)/manage.py migrate --verbosity 0
	@echo "$(EXAMPLE): open http://127.0.0.1:$(PORT)/ in two tabs; Ctrl-C ends it. (Another port: make demo PORT=8001)"
	@exec $(BIN)/python examples/$(EXAMPLE)/manage.py runserver --noreload 127.0.0.1:$(PORT)

.PHONY: servers
servers:
	@.ci/install-servers

.PHONY: lint
lint: $(VENV)/.tests-installed ## Check style (ruff), types (mypy) and floors (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# References that lead nowhere are warnings, and warnings are errors; only what has changed is built again.
.PHONY: docs
docs: $(VENV)/.tests-installed ## Build the documentation into build/docs/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --doctree-dir build/doctrees docs build/docs

.PHONY: plots
plots: $(VENV)/.tests-installed ## Draw the pictures of docs/performance.md from docs/plots/figures.toml
	$(BIN)/python -m pip install --quiet --requirement docs/plots/requirements.txt
	$(BIN)/python docs/plots/draw.py

.PHONY: test-js
test-js: ## Check and test the JavaScript client alone
	@.ci/test-js

.PHONY: test
test: servers lint $(if $(PYTEST_ARGS),,docs test-js coverage) ## Lint, build the documentation, then run every test: JavaScript, compiled, in the browser, and what has a fallback once more pure
	$(PYTEST) -m "not slow$(if $(PYTEST_ARGS),, and not measured)" $(PYTEST_ARGS)
	CHANNELS_PURE_PYTHON=1 $(PYTEST) -m "not slow and not compiled_only" $(PYTEST_ARGS) $(NONE_IS_FINE)

.PHONY: coverage
coverage: $(VENV)/.tests-installed ## Measure that the tests without sockets cover every branch of daphne.protocol
	$(MEASURED)

.PHONY: test-full
test-full: servers lint $(if $(PYTEST_ARGS),,docs test-js coverage) ## The same with the slow tests
	$(PYTEST) $(if $(PYTEST_ARGS),$(PYTEST_ARGS),-m "not measured or slow")
	CHANNELS_PURE_PYTHON=1 $(PYTEST) -m "not compiled_only" $(PYTEST_ARGS) $(NONE_IS_FINE)

.PHONY: test-matrix
test-matrix: servers $(VENV)/.tests-installed ## Test other Pythons and Djangos (the suite, Daphne and workers on different ones), Redis 6.2 and Valkey
	.ci/test-matrix $(PYTEST_ARGS)
	.ci/test-redis $(PYTEST_ARGS)

# The targets that are fuzzed, and seconds for each: make fuzz FUZZ=http1 FUZZ_SECONDS=60
FUZZ ?= http1 http2 frames frames-fallback codec resp
FUZZ_SECONDS ?= 600

$(VENV)/.fuzz-installed: $(VENV)/.tests-installed tests/fuzz/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement tests/fuzz/requirements.txt
	@touch $@

.PHONY: fuzz
fuzz: $(VENV)/.fuzz-installed ## Fuzz protocols, frames and codec, ten minutes each (FUZZ="http1 frames", FUZZ_SECONDS=60)
	@for target in $(FUZZ); do $(BIN)/python -m tests.fuzz $$target --seconds $(FUZZ_SECONDS) || exit 1; done

# Scenarios and numbers of the soak: make soak SOAK="rolling workers --sockets 200"
SOAK ?=

.PHONY: soak
soak: servers $(VENV)/.tests-installed ## Prove what docs/reliability.md promises, in 50 minutes (SOAK="rolling --sockets 200" for less)
	$(BIN)/python -m tests.soak $(SOAK)

.PHONY: bench
bench: $(VENV)/.tests-installed ## Compare with the peers, in a virtual environment of its own
	benchmarks/run $(PYTHON)

.venv-build/.installed: $(BIN)/python tests/distribution/requirements.txt
	$(BIN)/python -m venv .venv-build
	.venv-build/bin/python -m pip install --quiet --requirement tests/distribution/requirements.txt
	@touch $@

.PHONY: build
build: $(VENV)/.tests-installed .venv-build/.installed ## Build what is released into dist/, check it, and try it where it is installed
	.ci/build
	.ci/try-dist

.PHONY: clean
clean: ## Remove what these commands made
	rm -rf $(VENV) .venv-* build dist *.egg-info _speedups/*.so node_modules js/lib tests/output
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f examples/*/db.sqlite3*
