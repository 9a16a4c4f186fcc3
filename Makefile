# Every target works on a fresh clone; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
VIDEO ?=
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=180 -n 2 --dist loadfile -p no:cacheprovider

.PHONY: help setup course book lab test lint gpu lessons clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.done  ## create .venv with the pinned dependencies; quick when nothing changed

.venv/.done: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[course,test]'
	@touch $@

course: setup  ## run the lessons and write the book, build/course/index.html; VIDEO=clip.mp4 takes your own clip
	$(BIN)/linvid course --output build/course $(if $(VIDEO),--video '$(VIDEO)')

book: setup  ## write the book with the stored outputs, without running the lessons: build/book/index.html
	$(BIN)/linvid book --output build/book

lab: setup  ## copy the lessons, exercises blank, to linvid-lessons/ and open them in JupyterLab
	$(BIN)/linvid lab

test: setup lint  ## everything that is checked: lint, unit and golden tests, every notebook, widgets in a browser
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered
	# the lessons run on no GPU, in their stated time, and then a second time in the same kernel
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/pytest $(NBVAL) -p lesson_times -p lesson_again notebooks
	# a busy machine can exceed a browser's patience: what failed gets a second try
	$(BIN)/pytest tests/browser || $(BIN)/pytest tests/browser --last-failed

lint: setup  ## ruff, mypy, and the order of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

gpu: setup  ## on a GPU: check, time and train in under 9 minutes, results/gpu/<card>.json
	$(BIN)/python benchmarks/gpu.py

lessons: setup  ## execute the committed notebooks in place, without machine paths or widget state
	$(BIN)/python notebooks/refresh.py

clean:  ## remove what the targets made
	rm -rf .venv build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
