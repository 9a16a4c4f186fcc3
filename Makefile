# Every target works on a fresh clone; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
OLDEST := 3.11
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n 2 --dist loadfile
# only notebooks need nbval, whose imports are a quarter of the start of a test process
TESTS := $(PYTEST) -p no:nbval
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
VIDEO ?=
# lessons run without a GPU, each process with one thread
NOTEBOOKS := CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 PYTHONPATH=tests $(PYTEST) -p no:cacheprovider \
  --nbval-lax --nbval-current-env --nbval-cell-timeout=180 -p lesson_times
STAGES := lint units notebooks browser portable
# tests that compare numbers of models and training, and what makes PyTorch compute as on a processor without AVX
PORTABLE := $(patsubst %,tests/test_%.py,attention fixation concentration model trace interventions streaming rivals \
  rivals_kernel rivals_low_rank rivals_windows official train runs)
OLD_PROCESSOR := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2

.PHONY: help setup course book lab test check $(STAGES) coverage nightly gpu lessons clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.test  ## create .venv with the pinned dependencies of course and tests; quick when nothing changed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; need = tuple(map(int, "$(OLDEST)".split("."))); sys.exit(None if sys.version_info >= need \
	  else "linvid-edu needs Python $(OLDEST) or newer, and $(PYTHON) is %s: name another one, as in make setup \
	PYTHON=python$(OLDEST)" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/.course: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[course]'
	@touch $@

.venv/.test: .venv/.course
	$(PIP) -e '.[course,test]'
	@touch $@

course: .venv/.course  ## run the lessons and write the book, build/course/index.html; VIDEO=clip.mp4 takes your own clip
	$(BIN)/linvid course --output build/course $(if $(VIDEO),--video '$(VIDEO)')

book: .venv/.course  ## write the book with the stored outputs, without running the lessons: build/book/index.html
	$(BIN)/linvid book --output build/book

lab: .venv/.course  ## copy the lessons, exercises blank, to linvid-lessons/ and open them in JupyterLab
	$(BIN)/linvid lab

test: setup  ## everything that is checked: the stages below, all of them, and a summary
	@status=0; summary=; for stage in $(STAGES); do \
	  start=$$(date +%s); result=passed; \
	  $(MAKE) --no-print-directory $$stage || { result=FAILED; status=1; }; \
	  summary="$$summary$$(printf '%-12s%s, %d s' $$stage $$result $$(($$(date +%s) - start)))\n"; \
	done; printf "\n$$summary"; exit $$status

check: lint  ## for daily work, under 2 minutes: lint and the quick tests
	$(TESTS) -m 'not slow' --durations=10

lint: setup  ## stage: ruff, mypy, and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check linvid_edu benchmarks tests
	$(BIN)/lint-imports & imports=$$!; $(BIN)/mypy; types=$$?; wait $$imports && exit $$types

units: setup  ## stage: unit and golden tests
	$(TESTS) --no-loadscope-reorder --durations=25

coverage: setup  ## the unit and golden tests, and which lines they run; takes about half as long again
	$(TESTS) --no-loadscope-reorder --cov --cov-report=term:skip-covered

notebooks: setup  ## stage: every notebook runs, in its stated time
	$(NOTEBOOKS) notebooks

# pages wait for kernels half of the time: three processes keep two cores busy
browser: setup  ## stage: widgets, book and lessons in a browser
	$(TESTS) -n 3 tests/browser

portable: setup  ## stage: the quick tests of models and training, as on an older processor
	$(OLD_PROCESSOR) $(TESTS) -m 'not slow' -p no:cacheprovider $(PORTABLE)

nightly: setup  ## every notebook a second time in its kernel, as a learner does who runs all cells again
	$(NOTEBOOKS) -p lesson_again notebooks

gpu: .venv/.course  ## on a GPU: check, time and train in under 9 minutes, results/gpu/<card>.json
	$(BIN)/python benchmarks/gpu.py

lessons: .venv/.course  ## execute the committed notebooks in place, without machine paths or widget state
	$(BIN)/python notebooks/refresh.py

clean:  ## remove what the targets made
	rm -rf .venv build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
