# Everything a person or a machine does with this repository. `make help` lists it.

PORT ?= 8080
STATE ?= .state
FEED ?= synthetic
TESTS ?= tests
SIGNALS ?= 10000
AWS_STATE ?= .state-aws
AWS_PORT ?= 4566

UV_VERSION := 0.13.9
AWS_GROUPS := --no-dev --group native --group aws --group cdk
BIN := .venv/bin
UV := .venv/uv/bin/uv
# Many processes start here: a module is compiled by the first one, whatever the caller's shell says.
export PYTHONDONTWRITEBYTECODE :=
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup up down aws-local aws-local-down aws-environments synth engine test soak check bench bench-checkpoint bench-watch bench-detection bench-qls bench-runner bench-sweep bench-aws clean openapi functions-doc rules-doc qls-doc metrics-doc

help: ## Show what there is
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make up PORT=8080 STATE=.state FEED=synthetic    FEED is synthetic or replay:FILE[:speed=10][:loop=1]"
	@echo "  make aws-local AWS_PORT=4566 AWS_STATE=.state-aws FEED=synthetic"

setup: .venv/.dev ## Make the environment in .venv from the lock file, with the tools of development

up: .venv/.run ## Start the whole platform; Ctrl-C ends it
	@$(BIN)/quantlab up --port "$(PORT)" --state "$(STATE)" --feed "$(FEED)"

down: .venv/.run ## End the platform that runs on STATE
	@$(BIN)/quantlab down --state "$(STATE)"

aws-local: ## Deploy the same functions to a local cloud on AWS_PORT and leave it running
	@$(MAKE) --no-print-directory --jobs=3 aws-environments
	@$(BIN)/quantlab aws-local up --port "$(AWS_PORT)" --state "$(AWS_STATE)" --feed "$(FEED)"

aws-local-down: .venv/.run ## End the local cloud that runs on AWS_STATE; its database stays
	@$(BIN)/quantlab aws-local down --state "$(AWS_STATE)"

synth: .venv/.dev .venv/.cdk ## Write the templates of both stages to cdk.out; cdk-nag and cfn-lint judge them
	@for stage in aws aws-local; do \
	  rm -rf cdk.out/$$stage; echo "synthesizing $$stage"; \
	  PATH="$(CURDIR)/$(BIN):$$PATH" JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 CDK_DISABLE_CLI_TELEMETRY=true \
	    infra/cdk/node_modules/.bin/cdk synth --quiet --output cdk.out/$$stage -c stage=$$stage || exit 1; \
	done
	$(BIN)/cfn-lint --config-file infra/cdk/cfnlint.yaml

engine: .venv/.dev ## Compile the backtest engine once, before tests wait for it
	QUANTLAB_NATIVE_FOLDER=.pytest_cache/d/native $(BIN)/python -m quantlab_server backtest engine

test: .venv/.dev ## Run the tests; where npm is, also against a local cloud
	@command -v npm >/dev/null || echo "npm is missing: tests that deploy to a local cloud are skipped"
	@$(MAKE) --no-print-directory --jobs=3 .pytest_cache/collected engine $$(command -v npm >/dev/null && echo aws-environments)
	$(BIN)/pytest --numprocesses=2 --dist=loadgroup --no-loadscope-reorder --durations=10 $(TESTS)

soak: .venv/.dev ## Run the long tests: sequences of orders, strategies, backtests, then SIGNALS signals with kills
	QUANTLAB_ORDER_SEQUENCES=10000 $(BIN)/pytest --timeout=0 tests/properties/test_orders.py tests/properties/test_costly_orders.py tests/properties/test_hedging.py
	QUANTLAB_QLS_PROGRAMS=5000 $(BIN)/pytest --timeout=0 tests/properties/test_qls_native.py tests/properties/test_live_strategies.py
	QUANTLAB_BACKTEST_HISTORIES=2000 $(BIN)/pytest --timeout=0 tests/properties/test_backtest.py tests/properties/test_attempts.py
	QUANTLAB_SOAK="$(SIGNALS)" $(BIN)/pytest -m slow tests/e2e

check: .venv/.dev ## Check format, lint, types, import contracts, tidiness and docs/openapi.json
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/architecture
	$(BIN)/quantlab openapi | diff -u docs/openapi.json -

openapi: .venv/.dev ## Write docs/openapi.json from the functions
	$(BIN)/quantlab openapi > docs/openapi.json

functions-doc: .venv/.dev ## Write docs/functions.md from the manifests, and measure every Lambda
	$(BIN)/python -m quantlab_cdk.functions_doc

rules-doc: .venv/.dev ## Write docs/rules.md and its pictures from the vectors and the code
	$(BIN)/quantlab rules doc

qls-doc: .venv/.dev ## Make the tables of the grammar of QLS and the reference in docs/qls.md
	$(BIN)/python -m quantlab_server.qls_tables
	$(BIN)/quantlab qls doc docs/qls.md

metrics-doc: .venv/.dev ## Make the tables of docs/backtest-metrics.md from the definitions in the code
	$(BIN)/python -m quantlab_server.metrics_doc docs/backtest-metrics.md

bench: .venv/.dev ## Measure the order path and write bench/out
	$(BIN)/python -m bench

bench-checkpoint: .venv/.dev ## Measure a checkpoint of the rules over 10,000 to 1,000,000 accounts
	$(BIN)/python -m bench.checkpoint

bench-watch: .venv/.dev ## Measure judging one tick against 100,000 holders
	$(BIN)/python -m bench.watch

bench-detection: .venv/.dev ## Measure from the tick that breaks a floor to the ended account, under load
	$(BIN)/python -m bench.detection

bench-qls: .venv/.dev ## Measure compiling a strategy, and one live event of it
	$(BIN)/python -m bench.qls

bench-runner: .venv/.dev ## Measure one live event of a strategy through the runner
	$(BIN)/python -m bench.runner

bench-backtest: .venv/.dev ## Measure backtests against the bare loop of this machine
	$(BIN)/python -m bench.backtest

bench-sweep: .venv/.dev ## Measure the runs of a sweep beside the loop over their quotes
	$(BIN)/python -m bench.sweep

bench-aws: .venv/.dev aws-environments ## Measure the same functions on a local cloud of their own
	$(BIN)/python -m bench.aws_local

clean: ## Remove what tools leave behind; the environment and the state stay
	rm -rf build dist cdk.out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/out
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# What is in stays in: running the platform must not take out the tools of development or of AWS.
.venv/.run: pyproject.toml uv.lock $(UV)
	@if [ -e .venv/.dev ]; then groups=; elif [ -e .venv/.aws ]; then groups="$(AWS_GROUPS)"; else groups="--no-dev --group native"; fi; \
	$(UV) sync --quiet --frozen --compile-bytecode $$groups
	@touch $@

.venv/.aws: pyproject.toml uv.lock $(UV)
	@if [ -e .venv/.dev ]; then groups=; else groups="$(AWS_GROUPS)"; fi; \
	$(UV) sync --quiet --frozen --compile-bytecode $$groups
	@touch .venv/.run $@

# Compiling all of it takes longer than what tests import of it ever costs.
.venv/.dev: pyproject.toml uv.lock $(UV)
	@$(UV) sync --quiet --frozen
	@touch .venv/.run .venv/.aws $@

# Python compiles what tests import here, and not in each of their processes at once.
.pytest_cache/collected: .venv/.dev
	@$(BIN)/pytest --collect-only --quiet tests >/dev/null || echo "not all tests can be collected"
	@mkdir -p $(@D) && touch $@

aws-environments: .venv/.aws .venv/.ministack .venv/.cdk
	@:

.venv/.ministack: infra/aws_local/pyproject.toml infra/aws_local/uv.lock $(UV)
	@echo "installing MiniStack in .venv/aws-local"
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/.venv/aws-local" \
	  $(UV) sync --quiet --frozen --project infra/aws_local --python "$(CURDIR)/$(BIN)/python"
	@touch $@

.venv/.cdk: infra/cdk/package.json infra/cdk/package-lock.json $(UV)
	@command -v npm >/dev/null && command -v node >/dev/null || { \
	  echo "npm and Node.js 20 or later are needed for the CDK; on Debian and Ubuntu: apt-get install nodejs npm" >&2; exit 1; }
	@echo "installing the CDK command line in infra/cdk/node_modules"
	@npm ci --prefix infra/cdk --no-audit --no-fund >.venv/npm.log 2>&1 \
	  || { echo "npm could not install the CDK; see .venv/npm.log" >&2; exit 1; }
	@touch $@

# uv has an environment of its own: a sync removes from .venv what the lock file does not name.
# A distribution's own Python is built with optimizations; many another one is not, and slower.
$(UV):
	@python=; for name in /usr/bin/python3.11 python3 python3.14 python3.13 python3.12 python3.11; do \
	  if command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    python=$${python:-$$name}; \
	    if $$name -c 'import venv, ensurepip' 2>/dev/null; then python=$$name; break; fi; \
	  fi; done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or later is needed; found: $$(python3 --version 2>&1 || echo none)." >&2; exit 1; fi; \
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi; \
	echo "making the environment in .venv"; \
	{ [ -x $(BIN)/python ] || $$python -m venv --without-pip .venv; } \
	&& $$python -m venv .venv/uv \
	&& .venv/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)
