# Mailfetch. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV = $(shell hack/venv.sh)
CODE = operator fetcher tests hack

.PHONY: help demo demo-down test chaos deps lint format type unit integration crd e2e conformance generate lock image venv clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the main job on a real one-node Kubernetes, from nothing to mails in a stream (as root)
	@hack/demo.sh

demo-down: ## ends the demo and removes what it left
	@hack/demo.sh down

test: ## everything: lint, unit, integration, CRD, end to end (as root; 45 minutes at most, 15 when warm)
	@hack/test.sh

chaos: ## every fault at every fault point, into docs/guarantees.md (as root; about an hour)
	@hack/deps.sh
	@$(VENV)/bin/python hack/chaos.py

deps: ## installs the Debian packages that tests and demo need (as root)
	@hack/deps.sh

lint: ## formatting, lint, types, layers, generated files
	@hack/lint.sh

format: ## formats the code
	@$(VENV)/bin/ruff format -q $(CODE)
	@$(VENV)/bin/ruff check -q --fix $(CODE)

unit: ## fast tests, no servers
	@$(VENV)/bin/python -m pytest -q tests/unit

integration: ## real Redis, Valkey and Dovecot
	@$(VENV)/bin/python -m pytest -q tests/integration -m 'not cluster and not node'

crd: ## the CRD, the operator and the plugin against a real kube-apiserver
	@$(VENV)/bin/python -m pytest -q tests/crd tests/integration -m cluster

e2e: ## the whole node: operator, fetchers, chart (as root)
	@$(VENV)/bin/python -m pytest -q tests/e2e

conformance: ## one suite against Dovecot, Courier, GreenMail and popa3d, which it fetches (as root)
	@hack/conformance.sh

generate: ## copies the CRD into the chart and the reference docs
	@$(VENV)/bin/python hack/generate.py

image: ## builds the container image and prints where it is
	@hack/image.sh

lock: ## renews the lock files from pyproject.toml
	@hack/lock.sh

venv: ## makes the virtual environment and prints where it is
	@echo $(VENV)

clean: ## removes the caches of tests and linters in this folder
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
