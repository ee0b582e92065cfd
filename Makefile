# Two commands do all the set-up: `make demo` and `make test`.
#
# TORCH_INDEX: address of a package index with CPU builds of PyTorch, for machines where the default build is the large
# CUDA one (PyTorch's installation page names it). Left empty, pip decides.
TORCH_INDEX ?=
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_FROM := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX),)

# A process a core, each with the whole of a file, whose tests share what they trained. Tests compute on one thread.
# What depends on the machine's whole pace is marked `alone` and runs afterwards.
SHARED := --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all lint types fast explore heavy mutants docs bench clean

demo: $(VENV)/installed
	$(BIN)/tunewright run recipes/ticket-intents.yaml

test: lint types fast

test-all: test heavy mutants

fast: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest -m "not heavy and not alone" $(SHARED)
	$(BIN)/python -m pytest -m "not heavy and alone"

explore: $(VENV)/installed-for-tests
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -m "not heavy and not alone" $(SHARED)

heavy: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest -m "heavy and not alone" $(SHARED)
	$(BIN)/python -m pytest -m "heavy and alone"

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check src tests benchmarks examples nano

types: $(VENV)/installed-for-tests
	$(BIN)/mypy

mutants: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.mutants

docs: $(VENV)/installed
	$(BIN)/python -m tunewright.pipeline.reference docs

bench: $(VENV)/installed-for-tests
	$(BIN)/python -m benchmarks classification --json

clean:
	rm -rf $(VENV) .bench-venv build *.egg-info src/*.egg-info

$(VENV)/python-made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/python-made pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt $(TORCH_FROM) "torch>=2.10,<2.14"
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@
