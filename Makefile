# Everything a new user needs: python3.11 (or 3.10, 3.12) and make.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo test lint bench clean

install: $(STAMP)

# uv reads the lock and installs in seconds; pip does the same where uv is not to be had.
$(STAMP): requirements.lock setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5" || true
	if [ -x $(BIN)/uv ]; then \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock && \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .; \
	else \
	  $(BIN)/python -m pip install --quiet -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps -e .; \
	fi
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m pipeline.demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	$(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv demo runs
