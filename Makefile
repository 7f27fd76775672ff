# Everything runs in .venv, which these targets make. VGG19's weights come from the environment
# variable MNST_VGG19_WEIGHTS (a path), from Keras' cache, or from Keras' download; the demo paints
# with the small network inside the package where none of these can be had.

PYTHON ?= python3
BIN = .venv/bin
# Tests at a time: each process loads TensorFlow, and takes a gigabyte or two.
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

.PHONY: help demo test test-notebooks test-slow test-browser test-campaign docs lint clean

help:
	@echo 'make demo            paint a photo in two styles, into demo/'
	@echo 'make test            run the tests'
	@echo 'make test-slow       run the tests that take minutes'
	@echo 'make test-notebooks  run the notebooks, small and brief, and what README and docs have typed'
	@echo 'make test-browser    drive the studio, and read the documentation, in a real Chromium, where there is one'
	@echo 'make test-campaign   attack the package with thousands of odd cases'
	@echo 'make docs            build the documentation into build/site; any warning is an error'
	@echo 'make lint            check style and types'
	@echo 'make clean           remove what these made'

.venv/installed: setup.cfg setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: .venv/installed
	$(BIN)/mnst demo demo

test: .venv/installed-test
	$(PYTEST)

# With memory that is kept steps take less time, and none of these measures memory.
test-notebooks: .venv/installed-test
	TF_CPU_ALLOCATOR_USE_BFC=true $(PYTEST) -m notebooks tests

# One at a time: what it waits for comes from a painter that has the machine for itself.
test-browser: .venv/installed-test
	$(BIN)/python -m pytest -m browser tests/test_browser.py tests/test_site.py

test-slow: .venv/installed-test
	$(PYTEST) -m slow tests

# Fails, too, if it has become smaller than it was meant to be.
test-campaign: .venv/installed-test
	$(PYTEST) -m campaign --least-cases 2000 $(PYTEST_FLAGS) tests/campaign

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# It builds the site and reads it.
test-browser: .venv/installed-docs

# Not with --quiet: it hides the warnings from --strict, too.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
