# make run | test | setup | check; `make help` lists the rest.
# TORCH=cpu takes the CPU build of torch, PYTHON=python3.12 another Python; see scripts/setup.sh.
export PYTHON TORCH TORCH_INDEX
export LC_ALL ?= C.UTF-8
BIN = .venv/bin
.DEFAULT_GOAL = help
.PHONY: help run test setup setup-federated setup-dev check lint pictures sample weights

help: ## Say what there is.
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' Makefile | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

run: setup ## Open the viewer on the bundled sample, analysed.
	@scripts/run.sh

test: setup-dev ## Run every test.
	@scripts/test.sh

setup: ## Only set up: .venv with the islet command.
	@scripts/setup.sh core

setup-federated: ## Set up with what real federations need, NVIDIA FLARE.
	@scripts/setup.sh federated

setup-dev: ## Set up for work on Islet itself.
	@scripts/setup.sh dev

check: setup-dev lint ## The gate: format, lint, types, import contracts, tests.
	@scripts/test.sh

lint: setup-dev ## The gate without the tests.
	@scripts/packages.sh check
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

pictures: setup ## Make the pictures of the README again.
	@scripts/pictures.sh

sample: setup ## Make the bundled sample again.
	@scripts/sample.sh

weights: setup ## Train the starter again on phantoms, and evaluate it.
	@scripts/weights.sh
