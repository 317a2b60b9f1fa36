# `make diagnostic` and `make test` do all the set-up on a fresh machine.
TERRITORY ?= val-de-lorraine
PROFILE ?= embedded
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# In a container one is root, which JupyterLab refuses unless told.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: diagnostic test install ui notebooks lint bench snapshot deploy-proof clean

diagnostic: $(STAMP)
	@$(BIN)/diagnostic run $(TERRITORY) --profile $(PROFILE)

test: $(STAMP)
	@$(BIN)/pytest -n auto --dist loadgroup --no-loadscope-reorder

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -d .venv || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

ui: $(STAMP)
	@DAGSTER_HOME="$(CURDIR)" $(BIN)/dagster dev --host 127.0.0.1 --port $${PORT:-3000}

notebooks: $(STAMP)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[notebooks]'
	@$(BIN)/jupyter lab --ip 127.0.0.1 --port $${PORT:-8888} --notebook-dir notebooks $(AS_ROOT)

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

# PostgreSQL, Redis, S3, two workers, one killed: same products as one process. Slow; `PROOF='--profile mirror'`.
deploy-proof: $(STAMP)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[test,deploy]'
	@$(BIN)/python -m deploy.proof $(PROOF)

snapshot: $(STAMP)
	@$(BIN)/diagnostic snapshot

clean:
	@rm -rf .venv .dagster data/raw/* data/processed/*
	@git checkout --quiet -- data
