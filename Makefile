# One environment, .venv, in two steps: a light one (tokenizer and tools) and the torch half on top.
# Every install is pinned by constraints.txt. After a change of dependencies in pyproject.toml,
# the command at the head of constraints.txt rewrites it (run it with .venv/bin/uv).

PYTHON ?= python3
UV_VERSION := 0.13.9

VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
UV_STAMP := $(VENV)/.uv-$(UV_VERSION)
READY := $(VENV)/.ready
READY_TORCH := $(VENV)/.ready-torch

# Bytecode is compiled here and once: some machines forbid Python to write it later, and then
# every process that imports torch would compile it again (10 seconds).
INSTALL := $(UV) pip install --quiet --compile-bytecode --python $(PY) \
	--constraints constraints.txt --build-constraints constraints.txt
# Where there is no NVIDIA GPU, leave out the CUDA packages that torch can do without there.
OVERRIDES := $(if $(shell command -v nvidia-smi),,--overrides overrides.txt)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-torch s3-server demo docs pictures test test-echotok test-lowest check check-echotok \
	bench-compression bench-throughput bench-commands bench-mining bench-findings phantom bench-data bench-training bench-privacy \
	bench-sector bench-phantom-labels bench-phantom bench-recipes bench-retrieval bench-evaluation \
	bench-layered bench-search bench-install search fallback echo-rows artifacts phantom-table house-table \
	sample architecture readme wheel clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Install the light environment: echotok, its trainer and the tools
setup-torch: $(READY_TORCH) ## Install everything: the light environment and the torch half

$(UV_STAMP):
	@echo "Making $(VENV) with $(PYTHON) and uv $(UV_VERSION)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check \
		uv==$(UV_VERSION)
	@touch $@

$(READY): $(UV_STAMP) pyproject.toml constraints.txt
	@echo "Installing echotok and its tools into $(VENV)"
	@$(INSTALL) --editable ".[build,dev]"
	@# CLIP's merges lie inside open_clip_torch; reading them needs none of its dependencies.
	@$(INSTALL) --no-deps open_clip_torch
	@touch $@

$(READY_TORCH): $(READY) overrides.txt
	@echo "Installing the torch half into $(VENV) (up to 3 GB to download, 5 GB of disk)"
	@$(INSTALL) $(OVERRIDES) --editable ".[build,echoclip-r,serve,cluster,cloud,gpl-decoders,docs,dev,dev-torch]"
	@touch $@

# Apart from the environment: what it needs of python-dateutil is older than what is pinned.
s3-server: $(UV_STAMP) ## Install the S3 server that the tests of object stores use
	@$(UV) venv --quiet --clear --python $(PY) .venv-s3
	@$(UV) pip install --quiet --python .venv-s3/bin/python "moto[server]>=5.2"

demo: $(READY) benchmarks/demo.py ## Tokenizer, phantoms, two models, figures (REPORTS=file COLUMN=name: tokenizer on yours)
	@$(PY) -m benchmarks.demo $(or $(REPORTS),--only tokenizer) $(if $(COLUMN),--column $(COLUMN))
ifndef REPORTS
	@$(MAKE) --no-print-directory setup-torch
	@$(PY) -m benchmarks.demo --only models
endif

# Compiled once, as the packages are: tests start some hundred processes.
test: $(READY_TORCH) ## Run every test
	@$(PY) -m compileall -q echotok echoclip_r
	$(PY) -m pytest -n 2 --dist worksteal --durations=40 --durations-min=2

test-echotok: $(READY) ## Run the tests of echotok alone: no torch needed
	@$(PY) -m compileall -q echotok
	$(PY) -m pytest -n 2 tests/echotok echotok

LOWEST := .venv-lowest

test-lowest: $(UV_STAMP) ## Run every test on the oldest versions that pyproject.toml allows (its own environment)
	@echo "Installing the oldest allowed versions into $(LOWEST)"
	@$(PYTHON) -m venv $(LOWEST)
	@$(UV) pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		$(OVERRIDES) --editable ".[build,echoclip-r,serve,transformers,spacy,gpl-decoders]"
	@$(UV) pip install --quiet --python $(LOWEST)/bin/python --constraints constraints.txt \
		build hatchling httpx hypothesis ipykernel nbclient nbformat pyspellchecker pytest pytest-benchmark pytest-timeout pytest-xdist
	@# Old versions warn of what newer ones changed: a warning fails only `make test`.
	$(LOWEST)/bin/python -m pytest -n 2 -W default

check: $(READY_TORCH) ## Lint, formatting, import rules, and types of both packages
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/lint-imports
	$(PY) docs/architecture.py --check
	$(VENV)/bin/mypy

check-echotok: $(READY) ## Lint, formatting, and types of echotok alone: no torch needed
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy --package echotok

bench-compression: $(READY_TORCH) benchmarks/tokenizer/compression.py ## Measure tokens per report against other tokenizers
	$(PY) benchmarks/tokenizer/compression.py

bench-throughput: $(READY_TORCH) benchmarks/tokenizer/throughput.py ## Measure reports per second against other tokenizers
	$(PY) benchmarks/tokenizer/throughput.py
	$(PY) -m benchmarks.tokenizer.threads

bench-commands: $(READY_TORCH) benchmarks/tokenizer/commands.py ## Measure the commands of echotok on 100,000 reports (half an hour; goes on where it stopped)
	$(PY) -m benchmarks.tokenizer.commands

bench-mining: $(READY_TORCH) benchmarks/tokenizer/mining.py ## Measure mined tables beside superword peers (hours; goes on where it stopped)
	$(PY) benchmarks/tokenizer/mining.py
	$(PY) benchmarks/tokenizer/mining_scale.py
	$(PY) benchmarks/tokenizer/mining.py --report-only

bench-findings: $(READY_TORCH) benchmarks/tokenizer/findings.py ## Measure findings: cases, annotated reports, phantom labels, speed (PEER=PYTHON with medspacy)
	$(PY) benchmarks/tokenizer/findings.py $(if $(PEER),--peer $(PEER))

bench-install: $(READY) benchmarks/install_matrix.py ## Measure pip install on each Python at hand, and run echotok's tests there
	$(PY) -m benchmarks.install_matrix --tests 3.11,3.12,3.13,3.14

search: $(READY_TORCH) ## Search phantoms in a browser, set up from nothing: it prints the address (PORT=8080)
	@$(PY) -m benchmarks.search_demo $(if $(PORT),--port $(PORT))

bench-search: $(READY_TORCH) ## Measure the search in a browser: what it finds on held-out phantoms, and a million clips
	$(PY) -m benchmarks.search_demo --only data
	$(PY) -m benchmarks.models.search_quality
	$(PY) -m benchmarks.models.search_load
	$(PY) -m benchmarks.models.search_scale

docs: $(READY_TORCH) ## Build the documentation as a site of plain files, in runs/site
	$(PY) docs/site.py

pictures: $(READY_TORCH) docs/pictures.py ## Take README's two pictures (after make demo; needs playwright and a Chromium)
	$(PY) docs/pictures.py

PHANTOM ?= runs/phantom

phantom: $(READY_TORCH) ## Make a phantom archive of 500 patients, and look at it
	$(VENV)/bin/echoclip-r phantom --patients 500 --seed 0 --workers 2 --out $(PHANTOM)
	$(VENV)/bin/echoclip-r summary $(PHANTOM)/manifest.csv
	$(VENV)/bin/echotok show $(PHANTOM)/manifest.csv --column report --limit 1
	@echo "Contact sheet: $(PHANTOM)/contact_sheet.png. Shards for training:"
	@echo "  $(VENV)/bin/echoclip-r prepare $(PHANTOM)/manifest.csv --out runs/shards --workers 2"

bench-data: $(READY_TORCH) ## Measure the data half: media, phantom, prepare (some fifteen minutes)
	$(PY) benchmarks/data/media_speed.py
	$(PY) benchmarks/data/phantom_speed.py
	$(PY) benchmarks/data/prepare_speed.py
	$(PY) benchmarks/data/prepare_long_run.py

bench-training: $(READY_TORCH) ## Measure loader, step by text length, accumulation and search (half an hour; goes on where it stopped)
	$(PY) -m benchmarks.models.training_speed

bench-privacy: $(READY_TORCH) ## Measure what of burned-in names, traces and tags survives
	$(PY) benchmarks/data/privacy.py

bench-sector: $(READY_TORCH) ## Measure the sector on real clips, phantoms of many looks and kinds to refuse (half an hour)
	$(PY) benchmarks/data/sector.py

bench-phantom-labels: $(READY_TORCH) ## Train a small network on phantom labels (some 20 minutes)
	$(PY) benchmarks/models/phantom_labels.py --patients 3000 --epochs 5

bench-phantom: $(READY_TORCH) ## Train three recipes on phantoms, three seeds (an hour; resumable)
	$(PY) benchmarks/models/phantom_training.py

bench-recipes: $(READY_TORCH) ## Train ten recipes on phantoms, three seeds, every task (many hours; goes on where it stopped)
	$(PY) benchmarks/models/frame_probe.py
	$(PY) benchmarks/models/recipes.py

bench-retrieval: $(READY_TORCH) ## Measure the retrieval metrics, beside open_clip's
	$(PY) benchmarks/models/retrieval_speed.py

bench-evaluation: $(READY_TORCH) benchmarks/models/evaluation.py ## Every task of the paper on held-out phantoms (after bench-phantom: some 10 minutes)
	$(PY) benchmarks/models/evaluation.py

fallback: $(READY) ## Train phrase_tables/echo/merges.txt on word lists and the outside corpora's words
	$(PY) benchmarks/tokenizer/train_fallback.py

echo-rows: $(READY_TORCH) ## Choose the rows of phrase_tables/echo, and count each source without it (ten minutes)
	$(PY) benchmarks/tokenizer/select_rows.py --leave-one-out --json benchmarks/results/leave_one_out.json
	$(PY) benchmarks/tokenizer/select_rows.py --write

artifacts: $(READY) ## Rebuild the shipped tokenizers from phrase_tables/echo
	$(VENV)/bin/echotok build phrase_tables/echo --out echotok/artifacts/echo.json
	$(VENV)/bin/echotok build phrase_tables/echo --fallback clip --out echotok/artifacts/echo-clip.json

house-table: $(READY) ## Mine phrase_tables/house on top of echo, from two thirds of the synthetic house
	@rm -rf runs/house-reports runs/house && mkdir -p runs/house-reports
	@ls benchmarks/reports/house/*.txt | awk 'NR % 3' | xargs -I{} cp {} runs/house-reports/
	$(VENV)/bin/echotok mine runs/house-reports --base phrase_tables/echo --vocab-size 29000 --k 5 --out runs/house
	@echo "Read runs/house/review.tsv, compare with phrase_tables/house, and copy what is good"

bench-layered: $(READY_TORCH) ## Measure a hospital's own table alone and on top of echo, by reports mined
	$(PY) benchmarks/tokenizer/layered.py

phantom-table: $(READY_TORCH) ## Mine phrase_tables/phantom from phantom reports (three minutes)
	@mkdir -p runs && rm -rf runs/phantom-table
	$(PY) benchmarks/models/phantom_reports.py > runs/phantom_reports.csv
	$(VENV)/bin/echotok mine runs/phantom_reports.csv --column report --patient-column patient_id \
		--k 5 --vocab-size 2000 --name phantom --out runs/phantom-table
	@echo "Read runs/phantom-table/review.tsv, compare with phrase_tables/phantom, and copy what is good"

sample: $(READY_TORCH) ## Write echotok/data/sample_reports.csv: reports of simulated patients, for `echotok sample`
	$(PY) benchmarks/models/phantom_reports.py --patients 40 --seed 7700 > echotok/data/sample_reports.csv

architecture: $(READY_TORCH) ## Write docs/architecture.md's pictures and lists from the code
	$(PY) docs/architecture.py

readme: $(READY) ## Write the README's figures from benchmarks/results
	$(PY) benchmarks/readme.py

wheel: $(READY) ## Build the sdist, and from it the wheel, into dist/
	@rm -rf dist
	$(PY) -m build --no-isolation

clean: ## Delete builds and caches (not .venv: rm -rf .venv starts afresh)
	@echo "Deleting dist/ and the caches of the tools"
	@rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
