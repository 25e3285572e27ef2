# Two commands: `make run` and `make test`. Both set up what they need, from a fresh clone too. The rest is for
# developers. Set-up steps are in ops/setup/setup and do nothing when nothing changed.

SHELL := /bin/bash
PYTEST := .venv/bin/python -m pytest
# Each worker starts servers of its own; files stay whole, so that what a module's fixtures start is started once.
# A worker that dies (faulthandler ends a test that hangs) is not replaced: its test has failed, the others go on.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadfile --max-worker-restart=0
# Seconds for each target of tests/fuzz under `make fuzz`. Its corpus is kept in var/fuzz: the next run goes on from there.
FUZZ_S ?= 600

SPHINX := .venv/bin/python -m sphinx -W --keep-going -n -q -b html

.PHONY: help run demo test lint docs format faults soak fuzz bench lock clean

help:
	@echo "make run      start the hub with a simulated carrier and desk; needs no root and no server"
	@echo "make demo     show one text travel to the desk and the answer travel back, then end"
	@echo "make test     lint and all tests, on real servers"
	@echo "make lint     ruff, mypy, layers, tests/meta"
	@echo "make docs     build the documentation into var/docs; every warning is an error"
	@echo "make format   let ruff put the source in form"
	@echo "make faults   tests/faults, twenty times as long; KILLS=N for that many kills -9 in all"
	@echo "make soak     fifteen minutes of load while links flap and throttle; HOURS=N or MINUTES=N for others"
	@echo "make fuzz     tests/property with ten thousand examples each, then tests/fuzz; FUZZ_S=N seconds for each target"
	@echo "make bench    measure throughput and latency (loadtests.bench)"
	@echo "make lock     remake the pinned files from the ranges in pyproject.toml"
	@echo "make clean    remove what set-up and tests made"

run:
	@ops/setup/setup run
	@exec .venv/bin/smshub run --demo

demo:
	@ops/setup/setup run
	@exec .venv/bin/smshub demo

test:
	@ops/setup/setup test
	@$(MAKE) --no-print-directory lint
	$(PYTEST) $(PARALLEL)

docs:
	@ops/setup/setup dev
	$(SPHINX) docs var/docs
	@echo "var/docs/index.html"

lint:
	@ops/setup/setup dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	$(PYTEST) -q tests/meta
	$(SPHINX) docs var/docs

format:
	@ops/setup/setup dev
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

faults:
	@ops/setup/setup test
	$(PYTEST) tests/faults --scale=20 $(if $(KILLS),--kills=$(KILLS))

soak:
	@ops/setup/setup test
	.venv/bin/python -m loadtests.soak $(if $(HOURS),--hours=$(HOURS)) $(if $(MINUTES),--minutes=$(MINUTES))

fuzz:
	@ops/setup/setup dev
	$(PYTEST) $(PARALLEL) tests/property --hypothesis-profile=fuzz
	.venv/bin/python -m tests.fuzz.run all --seconds=$(FUZZ_S)

bench:
	@ops/setup/setup test
	.venv/bin/python -m loadtests.bench

lock:
	@ops/setup/setup dev
	ops/setup/lock

clean:
	rm -rf .venv .venv-peers var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
