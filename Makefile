# A comment after `##` says what a target does: `make help` prints it.

PYTHON = python3
BIN = .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
AS_ROOT = $(SUDO) env PYTHONDONTWRITEBYTECODE=1 CI="$(CI)"
INSTALL = pip install --quiet --disable-pip-version-check
LOCK = .venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
	--generate-hashes --custom-compile-command "make lock"
TESTING = env LC_ALL=C.UTF-8 $(BIN)/python
# In the order of their names: xdist would start files with few tests last, and these take longest.
PYTEST = $(TESTING) -m pytest -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder --benchmark-disable
FUZZ = $(AS_ROOT) $(TESTING) -m tests.fuzz --seconds $(SECONDS) --seed $(SEED)
PACKAGES =
RELEASES = bullseye bookworm trixie forky sid
MIXED = $(if $(wildcard .releases/*/built),tests tests/releases/mixed.py)  # where these are built
ROUNDS = 220
WORKERS = 50
MOVES = 100
KILLS = 200
RESTARTS = 20
JOIN = 200
CLUSTERS = 1000
SEED = 1
SECONDS = 30
AT_ONCE = 5

.NOTPARALLEL:  # a virtual environment can only be made once its system packages are there
.PHONY: python help demo check test bench bgp copies foresight soak fuzz canary releases lock setup setup-test system clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' Makefile | while IFS='	' read -r target what; do \
		printf '%-11s %s\n' "$$target" "$$what"; done

demo: setup  ## plan, apply, verify and roll back routes on a copy of the cluster in hosts.toml
	$(AS_ROOT) $(BIN)/fab rehearse apply-routes verify rollback

check: AT_ONCE = 3  # these keep a core busy; those on twins wait for pings
check: .venv/made-test  ## lint, types, and every test that needs no root and no system package
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PYTEST) -m "not system"

test: setup-test check  ## check, and all other tests: on twins, as root
	$(FUZZ) & $(AS_ROOT) $(PYTEST) -m system $(MIXED); tested=$$?; wait $$! && exit $$tested

fuzz: setup-test  ## hostile answers, read and used for SECONDS=30
	$(FUZZ)

canary: setup-test  ## a machine that lies in every field, through every command: takes hours
	$(AS_ROOT) $(BIN)/python -m tests.hostile.canary

soak: setup-test  ## ROUNDS=220 faults during runs, counted in docs/reliability.md
	$(AS_ROOT) $(BIN)/python -m tests.lab.soak --rounds $(ROUNDS) --seed $(SEED) \
		--write docs/reliability.md

bgp: setup-test  ## MOVES, KILLS and RESTARTS under traffic, JOIN workers: docs/bgp.md, takes hours
	$(AS_ROOT) $(BIN)/python -m tests.lab.bgp --moves $(MOVES) --workers $(WORKERS) --deaths \
		--restarts $(RESTARTS) --kills $(KILLS) --join $(JOIN) --seed $(SEED) --write docs/bgp.md

copies: setup-test  ## faults and random machines on twins and on their copies: docs/rehearse.md
	$(AS_ROOT) $(BIN)/python -m tests.lab.prove_copies --faults --random 200 --cost 50 200 \
		--write docs/rehearse.md

foresight: setup-test  ## CLUSTERS=1000 random ones, foreseen and then pinged: docs/rehearse.md
	$(AS_ROOT) $(BIN)/python -m tests.lab.prove_foresight --clusters $(CLUSTERS) --seed $(SEED) \
		--write docs/rehearse.md

bench: setup-test .venv-bench/made  ## time and memory next to other tools: docs/benchmarks.md
	$(BIN)/python -m compileall -q fabfile.py tasks  # as every run but the first finds them
	$(AS_ROOT) BENCH_BIN=$(CURDIR)/.venv-bench/bin BENCH_LARGE="$(BENCH_LARGE)" \
		$(BIN)/python -m tests.bench --write docs/benchmarks.md

releases: setup-test  ## every verb, reboots and the demo on RELEASES of Debian: docs/support.md
	.ci/setup releases
	$(AS_ROOT) tests/releases/build.sh .releases $(RELEASES)
	$(AS_ROOT) $(BIN)/python -m tests.releases --write docs/support.md

lock:  ## write the lock files anew: the newest releases in the ranges, with their hashes
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/$(INSTALL) uv
	$(LOCK) --output-file requirements.lock requirements.txt
	$(LOCK) --constraints requirements.lock --output-file requirements-test.lock \
		requirements-test.txt
	rm -rf .venv-lock

setup: system .venv/made  ## what runs: system packages (as root), and .venv

setup-test: PACKAGES = test
setup-test: system .venv/made-test  ## what runs and what tests it: the same, and more of both

python:
	@$(PYTHON) -B -c 'import tasks'

system: python  ## the system packages that are missing; PACKAGES=test for those of the tests too
	PYTHON="$(PYTHON)" .ci/setup $(PACKAGES)

clean:  ## delete everything that these targets have made in this directory
	$(SUDO) rm -rf .releases .venv .venv-bench .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
	$(SUDO) find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made: requirements.lock | python
	$(PYTHON) -m venv --clear .venv
	$(BIN)/$(INSTALL) --require-hashes -r requirements.lock
	touch $@

.venv/made-test: requirements-test.lock .venv/made
	$(BIN)/$(INSTALL) --require-hashes -r requirements-test.lock
	touch $@

.venv-bench/made: tests/bench/requirements.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/$(INSTALL) -r tests/bench/requirements.txt
	touch $@
