# Two commands do everything: `make serve` and `make test`. The rest is for people who work on smallfirst.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
INSTALL = PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(PIP) install --quiet

.PHONY: serve test check format demo bench clean help

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/.base: pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "making a virtual environment in $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "installing smallfirst and its pinned dependencies ..."
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@echo "installing what the tests and checks need ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

serve: $(VENV)/.base ## set everything up and start the gateway on 127.0.0.1:4000
	@$(BIN)/smallfirst serve $(ARGS)

demo: $(VENV)/.base ## half a minute: a few hundred prompts through the real gateway
	@$(BIN)/smallfirst demo $(ARGS)

test: $(VENV)/.dev ## set everything up and run the tests
	@$(BIN)/smallfirst models pull smollm2-135m
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types, import rules, pages that say what is there
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/docs tests/ledger/test_docs.py tests/cli/test_config_cmd.py

BENCHES = startup.py classifier.py ledger.py gateway.py embedded.py
RECORDED = quality/agreement_rule.py quality/replay_recorded.py "quality/replay_recorded.py --lineup mmlu_pro --limit 1500"

bench: $(VENV)/.dev ## half an hour: every program under bench/, then the tables of docs/benchmarks.md
	@$(BIN)/smallfirst models pull smollm2-135m
	@for program in $(BENCHES); do $(BIN)/python bench/$$program || exit 1; done
	@if [ -d ../shared/data/outcomes ]; then \
	  for program in $(RECORDED); do $(BIN)/python bench/$$program || exit 1; done; fi
	@$(BIN)/python bench/tables.py --take

format: $(VENV)/.dev ## let ruff mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
