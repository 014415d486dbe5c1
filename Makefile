# Plain `make` lists what there is. Everything works from a fresh clone with any Python 3; `setup` brings the rest.
PYTHON := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run demo up test format package lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## bring .venv and node_modules (quick when they are there)
	@sh scripts/setup.sh

run: setup ## start everything, do the main job once, stay up until Ctrl-C
	@$(PYTHON) -m local run $(ARGS)

demo: setup ## start everything, do the main job once, stop; fails when a step fails
	@$(PYTHON) -m local demo $(ARGS)

up: setup ## start everything and stay up, without doing anything
	@$(PYTHON) -m local up $(ARGS)

test: setup ## run every check and test
	@sh scripts/test.sh $(ARGS)

format: setup ## format and fix what can be fixed
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

package: setup ## build the zip that is deployed
	@$(PYTHON) scripts/package.py $(ARGS)

lock: setup ## write the lock files from requirements/*.in
	@sh scripts/lock.sh $(ARGS)

clean: ## remove everything that can be made again
	@rm -rf .venv node_modules .local dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
