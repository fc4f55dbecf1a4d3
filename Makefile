# `make demo` and `make test` set up all they need in .venv on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINES := .engines
FAKE_GCS := 1.56.1
AZURITE := 3.35.0
BROWSER := .browser
WHEEL := .wheel
EXTRAS := mill,s3,gcs,azure,dataflow
AXE := 4.14.1
DEMO ?= runs/demo

.PHONY: demo test test-engines test-kenlm test-browser test-wheel environment engines lint install benchmarks clean

demo: install
	rm -rf $(DEMO) $(DEMO)-model
	$(BIN)/gristmill run tests/data/demo.yaml --output $(DEMO) --workers 2
	$(BIN)/gristmill train $(DEMO) --output $(DEMO)-model --preset tiny --steps 120 --processes 2
	@echo "report:     $(DEMO)/report/index.html"
	@echo "loss curve: $(DEMO)-model/loss.png"

test: install lint
	$(BIN)/python -m pytest -m "not engine and not kenlm and not browser and not wheel"

test-engines: install engines
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c deploy/constraints.txt -e '.[s3,gcs,azure]' 'moto[server]' pyspark kubernetes-validate
	for engine in prism spark flink; do $(BIN)/gristmill engines install $$engine || exit 1; done
	$(BIN)/python -m pytest -m engine

test-kenlm: install
	@command -v cmake >/dev/null || { echo "make test-kenlm: needs cmake" >&2; exit 1; }
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c deploy/constraints.txt -e '.[kenlm]'
	$(BIN)/python -m pytest -m kenlm

test-browser: install
	@command -v chromium >/dev/null || { echo "make test-browser: needs chromium" >&2; exit 1; }
	@command -v npm >/dev/null || { echo "make test-browser: needs npm" >&2; exit 1; }
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c deploy/constraints.txt -e '.[browser]'
	npm install --silent --no-audit --no-fund --no-save --prefix $(BROWSER) axe-core@$(AXE)
	$(BIN)/python -m pytest -m browser

# The wheel in an environment of its own, as in containers: deploy/Dockerfile runs this too.
environment:
	rm -rf $(WHEEL) build
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/python -m pip install --quiet --upgrade pip
	$(WHEEL)/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL)/dist .
	$(WHEEL)/bin/python -m pip install --quiet -c deploy/constraints.txt "$$(echo $(WHEEL)/dist/*.whl)[$(EXTRAS)]"

test-wheel: install environment
	GRISTMILL_WHEEL=$(CURDIR)/$(WHEEL) $(BIN)/python -m pytest -m wheel

engines: $(ENGINES)/fake-gcs-server $(ENGINES)/node_modules

# Stores on this machine: of Google's and Azure's kind.
$(ENGINES)/fake-gcs-server:
	@command -v go >/dev/null || { echo "make engines: needs Go >= 1.26 (package golang)" >&2; exit 1; }
	GOBIN=$(CURDIR)/$(ENGINES) go install github.com/fsouza/fake-gcs-server@v$(FAKE_GCS)

$(ENGINES)/node_modules:
	@command -v npm >/dev/null || { echo "make engines: no npm, so tests on Azurite are skipped" >&2; exit 0; } \
		&& npm install --silent --no-audit --no-fund --no-save --prefix $(ENGINES) azurite@$(AZURITE)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml deploy/constraints.txt $(shell find curation -name '*.p[yx][xd]')
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "gristmill needs Python 3.11 or newer; this is `$(PYTHON) --version 2>&1`." \
		"Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "gristmill needs Python's venv module (package python3-venv)" >&2; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
		echo "gristmill needs a C++ compiler to build fasttext (package g++ or clang)" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; p = sysconfig.get_path("include"); \
		raise SystemExit(not os.path.exists(os.path.join(p, "Python.h")))' || { \
		echo "gristmill needs Python's headers to build fasttext (package python3-dev)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# setuptools warns of every editable installation
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c deploy/constraints.txt -e '.[mill,train,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(ENGINES) $(BROWSER) $(WHEEL) runs .pytest_cache .mypy_cache .ruff_cache
