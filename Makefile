# Everything a person or CI needs. `make demo` and `make test` work on a fresh clone; the rest is for those who change things.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo demo-image test test-slow check bench bench-dpo bench-generate bench-image docs clean

demo: $(VENV)/.user ## set up, then fine-tune the default base on real data and show the evidence
	$(BIN)/tunesmith quickstart

demo-image: $(VENV)/.user ## set up, then teach the small image model one cat and show the evidence
	$(BIN)/tunesmith quickstart image

test: $(VENV)/.dev ## set up, then run the tests (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev ## what takes minutes: many kills, real downloads, whole runs on the real base
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## ours beside TRL + PEFT, in one interleaved run
	$(BIN)/python benchmarks/sft.py

bench-dpo: $(VENV)/.bench ## our DPO beside TRL's DPOTrainer + PEFT, in one interleaved run
	$(BIN)/python benchmarks/dpo.py

bench-image: $(VENV)/.bench ## our LoRA on pictures beside the loop of diffusers' script, in one interleaved run
	$(BIN)/python benchmarks/image.py

bench-generate: $(VENV)/.user ## our greedy answers beside transformers' generate, in float32 and bfloat16
	$(BIN)/python benchmarks/generate.py --dtype float32 --rounds 2 --batches 2 --tokens 48 --output benchmarks/results/generate-float32.json
	$(BIN)/python benchmarks/generate.py --rounds 2 --batches 2 --tokens 48

docs: $(VENV)/.dev ## write docs/reference from the recipe's types
	$(BIN)/python scripts/make_reference.py

$(VENV)/.user: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch, transformers and tunesmith into $(VENV) (a minute or two)"
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.user
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.user
	$(PIP) install -c constraints.txt -e '.[bench]'
	@touch $@

clean: ## remove the environment and caches; runs stay
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
