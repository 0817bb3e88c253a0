# make demo: set up, then plan, apply, prove and take back routes on a copy of hosts.toml's cluster.
# make test: set up, then everything that says whether a change is sound.
# make bench: set up, then what it costs, next to what others cost: docs/benchmarks.md.
# make soak: set up, then faults by the hundred, counted in docs/reliability.md.
# make fuzz: set up, then hostile answers, read and used for so many SECONDS.
# make canary: set up, then a machine that lies in every field, through every verb: hours.
# make lock: the newest releases that the ranges allow, with their hashes, into the lock files.

PYTHON = python3
BIN = .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
AS_ROOT = $(SUDO) env PYTHONDONTWRITEBYTECODE=1 CI="$(CI)"
INSTALL = pip install --quiet --disable-pip-version-check
LOCK = .venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
	--generate-hashes --custom-compile-command "make lock"
FUZZ = $(AS_ROOT) $(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED)
PACKAGES =
ROUNDS = 220
SEED = 1
SECONDS = 30
AT_ONCE = 4

.PHONY: demo test bench soak fuzz canary lock setup setup-test system clean

demo: setup
	$(AS_ROOT) $(BIN)/fab rehearse apply-routes verify rollback

test: setup-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(AS_ROOT) $(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile --benchmark-disable
	$(FUZZ)

fuzz: setup-test
	$(FUZZ)

canary: setup-test
	$(AS_ROOT) $(BIN)/python -m tests.hostile.canary

soak: setup-test
	$(AS_ROOT) $(BIN)/python -m tests.lab.soak --rounds $(ROUNDS) --seed $(SEED) \
		--write docs/reliability.md

bench: .venv/made-test .venv-bench/made
	$(BIN)/python -m compileall -q fabfile.py tasks  # as every run but the first finds them
	$(AS_ROOT) BENCH_BIN=$(CURDIR)/.venv-bench/bin BENCH_LARGE="$(BENCH_LARGE)" \
		$(BIN)/python -m tests.bench --write docs/benchmarks.md

.venv-bench/made: tests/bench/requirements.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/$(INSTALL) -r tests/bench/requirements.txt
	touch $@

lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/$(INSTALL) uv
	$(LOCK) --output-file requirements.lock requirements.txt
	$(LOCK) --constraints requirements.lock --output-file requirements-test.lock \
		requirements-test.txt
	rm -rf .venv-lock

setup: .venv/made

setup-test: PACKAGES = test
setup-test: .venv/made-test

.venv/made: requirements.lock | system
	$(PYTHON) -m venv --clear .venv
	$(BIN)/$(INSTALL) --require-hashes -r requirements.lock
	touch $@

.venv/made-test: requirements-test.lock .venv/made
	$(BIN)/$(INSTALL) --require-hashes -r requirements-test.lock
	touch $@

system:
	.ci/setup $(PACKAGES)

clean:
	$(SUDO) rm -rf .venv .venv-bench .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
	$(SUDO) find . -name __pycache__ -type d -prune -exec rm -rf {} +
