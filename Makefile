# make demo, make test: each works from a fresh clone with nothing but Python >= 3.11. They share one environment, .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -type f -not -name '*.pyc' -not -path '*.egg-info/*' -not -name '_engine*')
ENGINE := setup.py $(shell find engine/include engine/src -type f)

.PHONY: demo test lint dev clean

demo: $(VENV)/.library
	$(BIN)/onebit demo

# Tests marked slow are left out: $(BIN)/pytest -m slow runs them. One thread a worker, since two workers share the cores.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

lint: dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/ty check

dev: $(VENV)/.dev

# A plain install is repeated when the sources change; the editable one of `make test` sees them as they are.
$(VENV)/.library: pyproject.toml $(ENGINE) $(SOURCES) | $(VENV)/.created
	if [ -e $(VENV)/.dev ]; then $(MAKE) dev; else $(BIN)/pip install -q .; fi
	touch $@

$(VENV)/.dev: pyproject.toml $(ENGINE) | $(VENV)/.created
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "onebit needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info
