# make demo: set up, then plan, apply, prove and take back routes on a copy of hosts.toml's cluster.
# make test: set up, then everything that says whether a change is sound.
# make bench: set up, then what it costs, next to what others cost: docs/benchmarks.md.
# make soak: set up, then faults by the hundred, counted in docs/reliability.md.
# make fuzz: set up, then hostile answers, read and used for so many SECONDS.
# make canary: set up, then a machine that lies in every field, through every verb: hours.

PYTHON = python3
BIN = .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
AS_ROOT = $(SUDO) env PYTHONDONTWRITEBYTECODE=1 CI="$(CI)"
FUZZ = $(AS_ROOT) $(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED)
PACKAGES =
ROUNDS = 220
SEED = 1
SECONDS = 30
AT_ONCE = 4

.PHONY: demo test bench soak fuzz canary setup system clean

demo: setup
	$(AS_ROOT) $(BIN)/fab rehearse apply-routes verify rollback

test: PACKAGES = test
test: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(AS_ROOT) $(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile --benchmark-disable
	$(FUZZ)

fuzz: PACKAGES = test
fuzz: setup
	$(FUZZ)

canary: PACKAGES = test
canary: setup
	$(AS_ROOT) $(BIN)/python -m tests.hostile.canary

soak: PACKAGES = test
soak: setup
	$(AS_ROOT) $(BIN)/python -m tests.lab.soak --rounds $(ROUNDS) --seed $(SEED) \
		--write docs/reliability.md

bench: setup .venv-bench/made
	$(BIN)/python -m compileall -q fabfile.py tasks  # as every run but the first finds them
	$(AS_ROOT) BENCH_BIN=$(CURDIR)/.venv-bench/bin BENCH_LARGE="$(BENCH_LARGE)" \
		$(BIN)/python -m tests.bench --write docs/benchmarks.md

.venv-bench/made: tests/bench/requirements.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
	touch $@

setup: .venv/made

.venv/made: requirements.txt | system
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

system:
	.ci/setup $(PACKAGES)

clean:
	$(SUDO) rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
	$(SUDO) find . -name __pycache__ -type d -prune -exec rm -rf {} +
