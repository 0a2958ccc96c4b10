# make lab · make test · and a few others. Variables: ARGS (extra options), PYTHON=python3.12 (which Python makes the environment).
ENV := .venv
COLAB_ENV := .venv-colab
PARITY_ENV := .venv-parity
BACKENDS_ENV := .venv-backends
SITE_ENV := .venv-site
KATEX := 0.19.1
AXE := 4.14.1
EXPORTS_ENV := .venv-exports
HUB_ENV := .venv-hub
RUN := $(ENV)/bin/python
ARGS ?=
# Unit tests and notebooks wait for Python more than for arithmetic; conftest.py puts the longest files first. What a
# browser is timed by is not tested beside anything else.
TWO_AT_A_TIME := -n 2 --dist loadfile --no-loadscope-reorder
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
ifdef PYTHON
export PYTHON
endif
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help env env-dev lab test test-browser test-site test-exports test-backends test-colab test-hub parity notebooks times links colab site format clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env:
	@bash tools/env.sh $(ENV) requirements.txt

env-dev:
	@bash tools/env.sh $(ENV) requirements.txt requirements-dev.txt

lab: env  ## install what is needed and open JupyterLab on notebook 00 (ARGS=--no-browser to open none)
	$(RUN) -m jupyterlab $(AS_ROOT) $(ARGS) notebooks/00_start_here.ipynb

test: env-dev  ## lint, unit tests, and every notebook run from a cold start, its outputs compared (strict nbval)
	@echo "1/3 lint"
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@echo "2/3 unit tests"
	$(RUN) -m pytest tests --ignore tests/browser -rs $(TWO_AT_A_TIME) $(ARGS)
	$(RUN) -m pytest tests/browser -rs $(ARGS)
	@echo "3/3 notebooks"
	$(RUN) -m pytest notebooks $(TWO_AT_A_TIME) $(ARGS)

test-browser: env-dev  ## the explorer in a real JupyterLab and a real Chromium (sudo apt install chromium, or CHROMIUM=path)
	$(RUN) -m pytest tests/browser -rs -s $(ARGS)

parity:  ## every variant against timm and transformers, live: logits, feature maps, names (installs PyTorch)
	@bash tools/env.sh $(PARITY_ENV) requirements.txt requirements-parity.txt
	$(PARITY_ENV)/bin/python -m pytest tests/live -o addopts= -s $(ARGS)

# OMP_WAIT_POLICY: PyTorch's threads otherwise spin while they wait, which made training 12 times slower beside other work.
test-backends:  ## unit tests and notebooks 01 to 07 on TensorFlow, JAX and PyTorch (installs JAX and PyTorch)
	@bash tools/env.sh $(BACKENDS_ENV) requirements.txt requirements-dev.txt requirements-backends.txt
	@for backend in tensorflow jax torch; do \
	  export KERAS_BACKEND=$$backend REQUIRED_BACKENDS="tensorflow jax torch" OMP_WAIT_POLICY=passive; \
	  echo "unit tests on $$backend"; \
	  $(BACKENDS_ENV)/bin/python -m pytest tests --ignore tests/browser -rs $(ARGS) && \
	  echo "notebooks 01 to 07 on $$backend" && \
	  $(BACKENDS_ENV)/bin/python -m pytest notebooks/0[1-7]*.ipynb --nbval-lax --nbval-cell-timeout=1800 $(ARGS) || \
	  { echo "failed on $$backend"; exit 1; }; \
	done

test-exports:  ## exports reloaded without focal_utils: SavedModel, LiteRT (float32, int8), ONNX (installs their runtimes)
	@bash tools/env.sh $(EXPORTS_ENV) requirements.txt requirements-export.txt
	$(EXPORTS_ENV)/bin/python -m pytest tests/package/test_exports.py -o addopts= --import-mode=importlib -rs $(ARGS)

test-hub:  ## FocalNet in KerasHub: backbone, presets, classifier, segmentation, detection (installs KerasHub)
	@bash tools/env.sh $(HUB_ENV) requirements.txt requirements-hub.txt
	$(HUB_ENV)/bin/python -m pytest tests/package/test_keras_hub.py -o addopts= --import-mode=importlib -rs $(ARGS)

test-colab: colab  ## every notebook from the zip for Colab, with Colab's versions, the package not installed, lax nbval: runs all, compares nothing (PYTHON=python3.13: as there)
	@bash tools/env.sh --without-package $(COLAB_ENV) requirements-colab.txt
	rm -rf build/content && mkdir -p build/content
	$(COLAB_ENV)/bin/python -m zipfile -e build/focal-modulation.zip build/content
	cd build/content/focal-modulation && PYDEVD_DISABLE_FILE_VALIDATION=1 ../../../$(COLAB_ENV)/bin/python -m pytest notebooks --nbval-lax $(ARGS)

notebooks: env-dev  ## run every notebook in place, record its time, tidy its metadata
	$(RUN) tools/run_notebooks.py $(ARGS)
	$(RUN) tools/write_times.py

times: env-dev  ## write the measured times and results into README.md, data/README.md and the notebooks
	$(RUN) tools/write_times.py
	$(RUN) tools/write_results.py

links: env-dev  ## write the repository's address into badges, set-up cells, README.md and CITATION.cff (ADDRESS=https://github.com/… or origin)
	$(RUN) tools/write_links.py $(if $(ADDRESS),--address $(ADDRESS))

colab: env-dev  ## build/focal-modulation.zip: notebooks, package and data in one file for Colab
	$(RUN) tools/make_colab.py

site: env-dev  ## the notebooks as a web site in build/site, which needs no network
	@bash tools/env.sh $(SITE_ENV) requirements-site.txt
	$(RUN) tools/make_site_source.py
	$(SITE_ENV)/bin/npm install --silent --no-save --prefix build/npm katex@$(KATEX) axe-core@$(AXE) >/dev/null
	$(SITE_ENV)/bin/python -m sphinx -q -W --keep-going -c tools/site -d build/doctrees build/site-source build/site
	@echo "build/site/index.html is ready."

test-site: site  ## every page of the site in a real Chromium: phone and desk, links, pictures, search, dark theme
	$(RUN) -m pytest tests/browser/test_site.py tests/browser/test_front.py -rs -s $(ARGS)

format: env-dev  ## format code and mend what the linter can
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:  ## remove the environments and everything that can be made again
	rm -rf $(ENV) $(COLAB_ENV) $(PARITY_ENV) $(EXPORTS_ENV) $(SITE_ENV) $(BACKENDS_ENV) $(HUB_ENV) build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
