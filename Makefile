# Everything is installed into .venv, in the exact versions of constraints.txt, and installed again only when that
# file or pyproject.toml changes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 3000
# Two more than cores, because a test often waits for a process.
WORKERS ?= 4
BIN := .venv/bin
INSTALLED := .venv/.installed

define GOODNESS
SELECT asset, seed, \
round((metrics->>'accuracy_greedy')::DOUBLE, 4) AS accuracy, \
round((metrics->>'accuracy_sampled')::DOUBLE, 4) AS accuracy_sampled, \
round((metrics->>'looks_greedy')::DOUBLE, 2) AS looks, \
round((metrics->>'reward_greedy')::DOUBLE, 4) AS reward, \
(metrics->>'n')::DOUBLE::BIGINT AS images \
FROM evaluations JOIN runs USING (run_id) WHERE NOT trial AND replay_of IS NULL \
QUALIFY row_number() OVER (PARTITION BY asset, seed ORDER BY evaluations.time DESC) = 1 ORDER BY seed, asset
endef

.DEFAULT_GOAL := help
.PHONY: help run demo test soak ui check bench proof screenshots clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=..." >&2; exit 2; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

run: $(INSTALLED) ## Make the data, both models and all evaluations; replay one model; say how good they are.
	@echo "== Materializing the default job; work that is done already is reused (column reused) =="
	@$(BIN)/repro run
	@echo
	@echo "== Replaying the newest supervised model from its record =="
	@$(BIN)/repro replay model-sft
	@echo
	@echo "== How good the models are =="
	@$(BIN)/repro sql "$(GOODNESS)"
	@echo
	@echo "== What to look at next =="
	@echo "make ui                                    the asset graph, on http://127.0.0.1:$(PORT)"
	@echo "$(BIN)/repro runs list                   every run; runs show RUN tells all about one"
	@echo "$(BIN)/duckdb -readonly $${REPRO_HOME:-data}/catalog.duckdb   the same in SQL; SELECT * FROM provenance says what made a model"
	@echo "docs/                                      how it works, the catalog column by column"

demo: $(INSTALLED) ## A tour: what is captured, planted errors and what finds them, every export read by its own software.
	$(BIN)/python docs/demo/demo.py

test: $(INSTALLED) ## Run the tests; some need Debian's chromium, graphviz and LaTeX, else they are skipped.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

soak: $(INSTALLED) ## Run the tests that take minutes: every fault at every call, many processes against collection.
	$(BIN)/python -m pytest -m soak

ui: $(INSTALLED) ## Serve the asset graph on 127.0.0.1; make ui PORT=3001 for another port.
	$(BIN)/repro ui --port $(PORT)

check: $(INSTALLED) ## Check format, lint, types and layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(INSTALLED) ## Measure, and write the figures into docs/benchmarks.md.
	$(BIN)/python -m benchmarks --write

proof: $(INSTALLED) ## Replay every product of the default job, over three seeds, and write the table in docs/replay.md.
	$(BIN)/python repro_assets_tests/replay/proof_table.py docs/replay.md

screenshots: $(INSTALLED) ## Take the pictures in docs/images from a store in which the default job has run.
	$(BIN)/python repro_assets_tests/browser/take_screenshots.py

clean: ## Remove what was installed, built and cached; data/ is never touched.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache build dist *.egg-info
	find repro_assets repro_assets_tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
