# muster's front door. `make demo` and `make test` do all of their own set-up.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
DEMO_ROWS ?= 5000
CLUSTER ?= default
CLUSTER_SIZE ?= 2
INPUT_LINES ?= 10000
ON ?= local
WORKERS_PER_MACHINE ?=

# muster is started hundreds of times by its tests: Python shall keep what it compiles, whatever the caller has set.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test test-oldest test-newest check lint style house site bench bench-scale bench-watch bench-tls bench-cloud bench-held bench-memory bench-many bench-stream docs lock wheel clean up run-cluster stream get-results down status urls watch

help: ## show this list
	@echo "make demo and make test do all of their own set-up. You can say: make demo DEMO_ROWS=20000, make PYTHON=python3.12 install."
	awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## make .venv with muster and all that it can use

# A line for each step, at once: who waits for a minute wants to know for what.
COUNT := awk -v all="$$(grep -c '==' requirements.lock)" ' \
  /^Collecting/ && ++n % 15 == 0 { print "      " n " of about " all " packages fetched" } \
  /^Installing/ { print "      all fetched; unpack them into .venv" } \
  { fflush() }'

.venv/.installed: requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "muster is made for Python 3.11 to 3.13, and \"$(PYTHON)\" is $$("$(PYTHON)" --version 2>&1 || true). Type: make PYTHON=/path/to/python3.13 install" >&2; exit 1; }
	echo "[1/3] Make .venv with $$("$(PYTHON)" --version)"
	"$(PYTHON)" -m venv --clear .venv
	echo "[2/3] Install what muster and its tests use into .venv: about two minutes, once"
	$(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --requirement requirements.lock | $(COUNT)
	echo "[3/3] Install muster itself"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: what-demo-does
what-demo-does:
	@echo "make demo: make $(DEMO_ROWS) rows, label them on all cores with examples/classify.py, show the result and what to type next."
	[ -e .venv/.installed ] || echo "First it installs muster into .venv: about two minutes, once."

demo: what-demo-does install ## make 5,000 rows, label them on all cores, show the result
	@mkdir -p demo
	echo "+ muster generate --rows $(DEMO_ROWS) -o demo/rows.csv"
	$(BIN)/muster generate --rows $(DEMO_ROWS) -o demo/rows.csv
	echo; echo "+ muster run examples/classify.py:classify demo/rows.csv -o demo/classified.csv --dtype str"
	$(BIN)/muster run examples/classify.py:classify demo/rows.csv -o demo/classified.csv --dtype str
	echo; echo "The first rows of demo/classified.csv:"
	head -n 4 demo/classified.csv
	echo; echo "+ muster runs"
	$(BIN)/muster runs | head -n 4
	echo
	echo "What next:"
	echo "  .venv/bin/muster report -o demo/report.html             this run in one page: where the time went"
	echo "  .venv/bin/muster watch                                  all runs, live, in a browser, until Ctrl-C"
	echo "  .venv/bin/muster run my.py:process my.csv -o out.csv    your function over your file"
	echo "  pip install 'muster-run[watch] @ file://$(CURDIR)'"
	echo "                                                          muster in an environment of yours; docs/start.md has more"

up: install ## make a cluster of CLUSTER_SIZE machines (ON=local, aws, or a file of hosts)
	$(BIN)/muster up $(CLUSTER) --machines $(CLUSTER_SIZE) --on $(ON) $(if $(WORKERS_PER_MACHINE),--workers-per-machine $(WORKERS_PER_MACHINE))

run-cluster: install ## label INPUT_LINES rows on it with examples/classify.py
	@mkdir -p output
	$(BIN)/muster generate --rows $(INPUT_LINES) -o output/rows.csv
	$(BIN)/muster run examples/classify.py:classify output/rows.csv -o output/classified.csv --dtype str --cluster $(CLUSTER) --watch

# CLUSTER_SIZE has a size for make up; here it counts where somebody has chosen it.
stream: install ## the seed's application over TCP, from sender to receiver: INPUT_LINES=2000, WORKERS=8 (0: one process) or CLUSTER_SIZE=3
	@MUSTER=$(BIN)/muster examples/stream/run.sh $(INPUT_LINES) $(if $(WORKERS),--workers $(WORKERS)) \
	  $(if $(filter-out file,$(origin CLUSTER_SIZE)),--machines $(CLUSTER_SIZE) --on $(ON))

get-results: ## put the results into output/results.tgz
	@cd output && tar -czf results.tgz classified.csv $$(ls classified.csv.rejects.jsonl 2>/dev/null || true)
	echo "output/results.tgz: $$(du -h results.tgz | cut -f1)"

status: install ## show the clusters and their machines
	$(BIN)/muster status

urls: install ## show the cluster's machines, and where to watch
	@$(BIN)/muster status $(CLUSTER)
	echo "Watch at http://127.0.0.1:4000/ while make run-cluster works (it says so when that port is taken), or type make watch."

watch: install ## serve the live page of all runs until Ctrl-C
	$(BIN)/muster watch

down: install ## end the cluster
	$(BIN)/muster down $(CLUSTER)

# mypy takes a core for as long as a minute, and tests often wait: so they run side by side.
test: install style .venv/.site-installed ## run every check and test
	@echo "+ $(BIN)/mypy, beside the tests"
	$(BIN)/mypy > .venv/.types 2>&1 & types=$$!
	echo "+ $(BIN)/python -m pytest -n 4 --dist worksteal"
	ended=0; $(BIN)/python -m pytest -n 4 --dist worksteal || ended=$$?
	wait $$types || ended=1
	echo "mypy: $$(cat .venv/.types)"
	exit $$ended

# Where versions differ: what a function sees of every format, what is written of what it returns, and how it is called.
# The rest (machines, stores, pages, editors) is muster's own, and tested once, by make test.
CORE_TESTS := batches csv facts formats hollow kinds_of_functions labels moments numbers pandas parquet_dtypes \
  parquet_inputs pipeline read_csv results run schema types variables

# Run them in .venv-$(1), with what requirements-$(1).lock says, by the first Python of the versions $(2) that is found.
define core-tests
@python="$$(.ci/python-of $(2))"
bin=.venv-$(1)/bin
if [ ! .venv-$(1)/.installed -nt requirements-$(1).lock ] || [ ! .venv-$(1)/.installed -nt pyproject.toml ]; then
  echo "Make .venv-$(1) with $$("$$python" --version): some minutes, once"
  "$$python" -m venv --clear .venv-$(1)
  "$$bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements-$(1).lock
  "$$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  touch .venv-$(1)/.installed
fi
"$$bin/python" -c 'import sys, numpy, pandas, pyarrow; print("The core tests, with the $(1) versions: Python", sys.version.split()[0], *(f"{one.__name__} {one.__version__}" for one in (pandas, numpy, pyarrow)))'
"$$bin/python" -m pytest -q -n 4 --dist worksteal -m "not waits" $(CORE_TESTS:%=tests/test_%.py)
endef

test-oldest: ## run the core tests with the oldest Python, pandas and other packages that muster works with
	$(call core-tests,oldest,3.11)

test-newest: ## run the core tests with the newest of them, on Python 3.13 or else 3.12
	$(call core-tests,newest,3.13 3.12)

style: install ## run ruff and import-linter alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

lint: style ## run mypy too, and no test
	$(BIN)/mypy

check: test ## the same as make test

# The old tables need no peers, and some jobs have none of .venv-peers.
BENCH_COMMAND = $(BIN)/python benchmarks/bench.py $(JOBS) $(if $(RUNS),--runs $(RUNS)) $(BENCH)
bench: $(if $(filter --show,$(BENCH)),install,.venv/.bench-installed) ## measure against pandas, Polars, Spark and others: JOBS="quoted json" RUNS=3
	@jobs="$$($(BENCH_COMMAND) --needs-peers)"
	[ -z "$$jobs" ] || make --no-print-directory PYTHON="$(PYTHON)" .venv-peers/.installed
	echo "+ $(BENCH_COMMAND)"
	$(BENCH_COMMAND)

bench-scale: install ## measure clusters of this computer: how work scales, how fast machines start
	$(BIN)/python benchmarks/scale.py $(BENCH)

bench-watch: install ## measure what measuring costs a run, and how soon the page of a long run opens
	$(BIN)/python benchmarks/measuring.py $(BENCH)
	$(BIN)/python benchmarks/watching.py

bench-tls: install ## measure what TLS between machines costs: up, rows there and back, many workers
	$(BIN)/python benchmarks/sealing.py $(BENCH)

bench-cloud: install ## measure machines of a pretended AWS beside the same ones as hosts: PATH=$$(.ci/build-pulumi):$$PATH make bench-cloud
	$(BIN)/python benchmarks/cloud.py $(BENCH)

bench-held: .venv/.bench-installed ## measure what a large object that the function holds costs: seconds and memory
	$(BIN)/python benchmarks/held.py $(BENCH)

bench-memory: install ## run groups and states over four times the memory that they may have: root, Linux, control groups of version 1
	$(BIN)/python benchmarks/beyond_memory.py $(BENCH)

bench-many: install ## measure many small files: against pandas, and as objects of a store against fsspec
	$(BIN)/python benchmarks/many.py $(BENCH)

bench-stream: .venv/.bench-installed ## measure streams: send to receive, through a function, on Ray, counts by key and beside Bytewax
	$(BIN)/python benchmarks/streaming.py $(BENCH)
	$(BIN)/python benchmarks/keyed.py
	$(BIN)/python benchmarks/beside_bytewax.py

# What does not go with muster's own pinned packages: Daft, and Spark, which needs Java besides.
.venv-peers/.installed: requirements-peers.lock
	@echo "Make .venv-peers for Daft and Spark: some minutes, once"
	"$(PYTHON)" -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-peers.lock
	touch $@

.venv/.bench-installed: .venv/.installed requirements-bench.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-bench.lock
	touch $@

docs: install ## write docs/cli.md and docs/api.md anew from the program itself
	$(BIN)/python docs/make_cli.py > docs/cli.md
	$(BIN)/python docs/make_api.py > docs/api.md

house: ## print what each module holds: all of them, or ROOM="_run _engines"
	@"$(PYTHON)" docs/house.py $(ROOM)

site: .venv/.site-installed ## build the site of README and docs in site/, to be read offline
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	echo "Open site/index.html in a browser."

.venv/.site-installed: .venv/.installed requirements-site.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-site.lock
	touch $@

lock: install ## compile the pinned requirements anew
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 pyproject.toml \
	  --extra remote --extra polars --extra redis --extra kafka --extra aws --extra watch --extra examples --extra dev -o requirements.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 pyproject.toml \
	  --extra bench -c requirements.lock -o requirements-bench.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 pyproject.toml \
	  --extra peers -c <(grep -v '^pyarrow==' requirements.lock) -o requirements-peers.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 pyproject.toml \
	  --extra site -c requirements.lock -o requirements-site.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --resolution lowest-direct --python-version 3.11 pyproject.toml \
	  --extra remote --extra polars --extra cluster --extra watch --extra examples --extra tests -o requirements-oldest.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --upgrade --universal --python-version 3.12 pyproject.toml \
	  --extra remote --extra polars --extra cluster --extra watch --extra examples --extra tests -o requirements-newest.lock

# A folder of its own for what builds it, so that nobody waits for all that `make install` brings.
wheel: ## build dist/muster_run-VERSION-py3-none-any.whl, to be installed with pip
	@"$(PYTHON)" -m venv dist/.build
	dist/.build/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	rm -rf dist/.build
	ls dist/*.whl

clean: ## remove all that make has made
	rm -rf .venv .venv-oldest .venv-newest .venv-peers demo output dist site
