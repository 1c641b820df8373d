# Targets a newcomer needs: `make demo` and `make test`. Both set up .venv by themselves on a
# machine that has Python 3.11 or later, pip and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
# Threads of linear algebra inside test workers, so that two workers do not use four cores.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help setup demo check test bench format constraints pictures clean

help:
	@echo "make demo    install what a user needs, fit 2,000 simulated fabric images, show the report"
	@echo "make test    install everything and run all checks and tests (under 30 minutes)"
	@echo "make check   format, lint, types and fast tests (under 5 minutes)"
	@echo "make bench   print the benchmark table"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "error: Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[demo,train]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[demo,lite,heif,mqtt,text,fastai,lightning,huggingface,parquet,tracking,bench,dev]'
	@touch $@ $(VENV)/.user

setup: $(VENV)/.dev

demo: $(VENV)/.user
	@$(BIN)/regraft fit "$$($(BIN)/python -m regraft.demo)" --out runs/demo --force
	@echo "open runs/demo/report.html"

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST_ENV) $(BIN)/pytest -n 2 -m "not slow"

test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST_ENV) $(BIN)/pytest -n 2

bench: setup
	$(BIN)/python -m benchmarks

# The pictures in README and docs: a fit of the demo's simulated images, a quick one, both side by side.
pictures: setup runs/demo/report.html
	$(BIN)/regraft fit "$$($(BIN)/python -m regraft.demo)" --approach linear_probe --out runs/quick --force
	$(BIN)/regraft report runs/demo runs/quick --out runs/comparison.html --force
	$(BIN)/python -m docs.screenshots runs/demo/report.html runs/comparison.html docs/images \
	  --model runs/demo

runs/demo/report.html:
	$(MAKE) demo

# After changing dependencies: the versions now in .venv, less what only one platform needs.
constraints: setup
	@{ echo "# Versions that are tested together; used by make setup and make demo (pip install -c)."; \
	  echo "# Written by: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable | \
	    grep -v -i -E '^(nvidia|cuda|triton|torch==|torchvision==|regraft|-e )'; \
	  echo 'torch==2.14.1 ; platform_machine != "aarch64"'; \
	  echo 'torchvision==0.29.1 ; platform_machine != "aarch64"'; \
	  echo 'torch==2.9.1 ; platform_machine == "aarch64"'; \
	  echo 'torchvision==0.24.1 ; platform_machine == "aarch64"'; } > $(CONSTRAINTS)

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
