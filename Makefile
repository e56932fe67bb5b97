# The verbs of the book. `make help` lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
WORKERS ?= 2
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help book html test unit lab check grade release bench lint pins clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

book: html ## install, execute, build and serve the book on http://127.0.0.1:8000 (PORT=... for another port)
	@$(BIN)/python -m torchbook.site serve --port $(PORT)

html: $(VENV)/.ready ## the same without serving: pages in _build/html
	@$(BIN)/python -m torchbook.site build

# Tests that flood the machine or measure it come last, without a neighbor.
test: html ## every test: units, widgets in a real browser, notebooks, grader (WORKERS=... at a time)
	@code=0; $(BIN)/python -m pytest -m "not alone" -n $(WORKERS) --dist loadgroup || code=1; \
	$(BIN)/python -m pytest -m alone || code=1; exit $$code

unit: $(VENV)/.ready ## the tests that take seconds
	@$(BIN)/python -m pytest -q -m "not slow"

lab: $(VENV)/.ready ## open JupyterLab, chapters as notebooks
	@$(BIN)/python -m torchbook.site lab

check: $(VENV)/.ready ## check your answers: make check NOTEBOOK=exercises/cnn/receptive-fields.ipynb
	@$(BIN)/torchbook check "$(NOTEBOOK)"

grade: $(VENV)/.ready ## grade a class: make grade SUBMISSIONS=folder OUT=folder
	@$(BIN)/torchbook grade "$(SUBMISSIONS)" --out "$(OUT)"

release: $(VENV)/.ready ## write exercises/ from the answer keys in solutions/
	@$(BIN)/torchbook release

bench: $(VENV)/.ready ## measure how fast the grader is (writes benchmarks/grading.md)
	@$(BIN)/python benchmarks/grading.py

lint: $(VENV)/.ready ## ruff over code and chapters
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

pins: $(VENV)/.ready ## write requirements.txt from requirements.in and what is installed
	@$(BIN)/python tools/pin.py

clean: ## remove what was built (the environment stays)
	rm -rf _build build *.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/.ready: requirements.txt pyproject.toml torchbook/bootstrap.py
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "Python is missing: install Python 3.11 or newer, or name it with \`make PYTHON=/path/to/python3 ...\`." >&2; exit 1; }
	@$(PYTHON) torchbook/bootstrap.py $(VENV)
	@touch $@
