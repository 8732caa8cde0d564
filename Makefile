# Everything a new user needs: Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo test test-all test-browser lint bench docs clean

# One worker per core of two; each file stays on one worker, so that its fixtures are made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

install: $(STAMP)

# uv installs the lock in seconds; pip does the same where uv cannot be had. The lock is complete:
# nothing is resolved, so that the plain OpenCV does not come back over the contributed one.
$(STAMP): requirements.lock setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || true
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python -r requirements.lock || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation -e .
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m convoy.pipeline.demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m 'not gpu and not browser'

# The interactive pages in Chromium, which Debian's package of that name installs.
test-browser: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check playwright==1.65.2
	$(BIN)/python -m pytest -m browser tests/browser

# The documentation as a site in site/, without network.
docs: $(STAMP)
	$(BIN)/mkdocs build --strict

bench: $(STAMP)
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv demo runs site
