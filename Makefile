# Plain `make` lists what there is. Everything works from a fresh clone with any Python 3; `setup` brings the rest.
# PYTHON=... names the interpreter to use. Linux, macOS and WSL; not Windows itself (local/README.md).
RUN := .venv/bin/python
ARGS ?=
# a file of tests stays on one process, files keep their order; coverage is printed without what is covered whole
EVERYTHING := -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

.DEFAULT_GOAL := help
.PHONY: help setup run demo up test hooks simulate defects machines mutants fuzz soak conform bench contract doctor entities format package deploy lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## bring .venv and node_modules (quick when they are there)
	@sh scripts/setup.sh

run: setup ## start everything, do the main job once, stay up until Ctrl-C (ARGS="--set BC_TRIGGERS=items --port 7072")
	@$(RUN) -m local run $(ARGS)

demo: setup ## start everything, do the main job once, stop; fails when a step fails
	@$(RUN) -m local demo $(ARGS)

up: setup ## start everything and stay up, without doing anything
	@$(RUN) -m local up $(ARGS)

test: setup ## run every check and test; ARGS="tests/unit -k words" runs these tests only
ifeq ($(ARGS),)
	@failed=0; for check in "ruff check ." "ruff format --check ." mypy "python -m pytest $(EVERYTHING)"; do \
	  echo "== $$check"; .venv/bin/$$check || failed=1; done; exit $$failed
else
	@$(RUN) -m pytest $(ARGS)
endif

hooks: setup ## check style, format, types and unit tests before each commit from now on
	@.venv/bin/pre-commit install

simulate: setup ## nothing lost, nothing twice: seeded runs with every kind of fault, whose figures go into docs/promises.md
	@$(RUN) -m tests.simulation $(or $(ARGS),--write)

defects: setup ## each of the deliberate defects is caught by the simulation within 200 seeds
	@$(RUN) -m tests.simulation --defects $(or $(ARGS),--write)

machines: setup ## state machines of orders and webhooks, run deep (ARGS="--examples N --only words")
	@$(RUN) -m tests.support.machines $(ARGS)

mutants: setup ## change the rules and stores in one place at a time: how many changes the tests notice (ARGS="orders/likeness --write")
	@sh scripts/tool_venv.sh mutants
	@.local/mutants-venv/bin/python -m tests.mutation $(ARGS)

fuzz: setup ## each parser under a coverage-guided fuzzer (ARGS="--minutes 5 --target order_message")
	@sh scripts/tool_venv.sh fuzz
	@.local/fuzz-venv/bin/python -m tests.fuzzing $(ARGS)

soak: setup ## half an hour of life through the real host, which is killed again and again
	@$(RUN) -m tests.soak $(ARGS)

conform: setup ## ask the emulator's claims of a real sandbox (BC_LIVE=1), else of itself; the report can be sent on
	@PYTHONPATH=local/emulators/business_central/src $(RUN) -m business_central_emulator.conformance --out .local/conformance $(ARGS)

bench: setup ## measure, beside other ways to do the same, and write docs/performance.md
	@$(RUN) -m bench $(ARGS)

contract: setup ## write docs/contract, what is published of messages (ARGS="--types FILE" writes typed models)
	@$(RUN) -m scripts.contract $(ARGS)

doctor: setup ## say why nothing arrives: FUNCTIONS_KEY=<key> make doctor ARGS=https://<app>.azurewebsites.net
	@$(RUN) scripts/doctor.py $(ARGS)

entities: setup ## print what Business Central offers, each with a line for BC_ENTITIES; ARGS as for doctor
	@$(RUN) -m scripts.entities $(ARGS)

format: setup ## format and fix what can be fixed
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

package: setup ## build the zip that is deployed
	@$(RUN) scripts/package.py $(ARGS)

deploy: setup ## create the resources and publish with the func CLI (ARGS="--dry-run" shows what would change)
	@bash scripts/deploy.sh $(ARGS)

lock: setup ## write the lock files from requirements/*.in
	@sh scripts/lock.sh $(ARGS)

clean: ## remove everything that can be made again
	@rm -rf .venv node_modules .local dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
