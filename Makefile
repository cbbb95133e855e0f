# A bare machine with Python 3.11, make and git is enough: every target builds .venv from requirements.lock first if needed.

PYTHON  ?= $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)
ADDRESS ?= 127.0.0.1
PORT    ?= 8501
ARGS    ?=
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check
READY   := $(VENV)/.installed

.PHONY: help app test soak bench bench-libraries compare examples table tables people cifar check lock
.DEFAULT_GOAL := help

help:
	@echo "make app    start the app on http://$(ADDRESS):$(PORT)  (another port: make app PORT=8502)"
	@echo "make test   run the default tests, some five minutes  (every test: make test ARGS='-m \"\"'; some: ARGS='-k influence')"
	@echo "make soak   a class of twenty on one server for ten minutes, two of them real browsers: is every result right, how long, how much memory?"
	@echo "make bench  measure speed and memory side by side: assets/docs/benchmarks.md, assets/results/bench.json  (a part: make bench ARGS='--only libraries')"
	@echo "make bench-libraries  build the environment of the influence libraries that make bench compares with"
	@echo "make compare  every method on equal terms, all ten classes: the first tables of assets/docs/results.md"
	@echo "make examples  the frames that Start plays: assets/examples (half a minute)"
	@echo "make table    all methods at every scope, searched, with intervals: assets/docs/results.md, assets/results (an hour; resumable)"
	@echo "make tables   the paper's tables beside ours: assets/docs/paper_tables.md, assets/results (at most an hour, resumable; all: ARGS=--full)"
	@echo "make people   forget three people at every scope and search for them: assets/docs/people.md, assets/people (five minutes)"
	@echo "make cifar    train what assets/models/cifar10 holds: hours; stop it and start it again at will  (IMU_DATA: where CIFAR-10 is)"
	@echo "make check  ruff; and the numbers of this source beside the goals and other codebases"
	@echo "make lock   resolve the dependencies in pyproject.toml afresh and rewrite requirements.lock"

app: $(READY)
	@echo "Open http://$(ADDRESS):$(PORT) in a browser; Ctrl-C here stops the app."
	@$(BIN)/streamlit run app.py --server.address $(ADDRESS) --server.port $(PORT)

# Tests write into build/, never into the user's cache, and never find what an earlier run left there. Two workers begin with one
# half of the tests each, in order, with one thread; who is through takes over from the other. What leaves the default run is marked
# slow, with a reason.
test: $(READY)
	@rm -rf build/test-home
	@IMU_HOME="$(CURDIR)/build/test-home" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations=10 $(ARGS)

# ARGS='--visitors 10 --browsers 0 --minutes 1' is a shorter one. Slow browsers: tests/benchmarks/slow_browsers.py.
soak: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/soak.py $(ARGS)

# Each part is written as it ends; stopped, it goes on with ARGS=--missing. The libraries it compares with live in an environment
# of their own, which is built first where that has not been done: make bench-libraries.
bench: $(READY)
	@IMU_HOME="$(CURDIR)/build/bench-home" $(BIN)/python tests/benchmarks/bench.py --json assets/results/bench.json \
	  --picture assets/pictures/bench-scaling.png --markdown assets/docs/benchmarks.md $(ARGS)

bench-libraries: build/influence-venv/.installed

build/influence-venv/.installed: tests/benchmarks/requirements-influence.txt
	@$(PYTHON) -m venv build/influence-venv
	@build/influence-venv/bin/pip install --quiet --disable-pip-version-check "torch==2.13.0"
	@build/influence-venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

compare: $(READY)
	@IMU_HOME="$(CURDIR)/build/bench-home" $(BIN)/python tests/benchmarks/equal_terms.py assets/docs/results.md

examples: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -c "from imu_core import runtime; from imu_core.figures import first_scenes; \
	  print(first_scenes.write(runtime.ASSETS / 'examples'))"

# What is stored is not run again: killed or stopped, the same command goes on. ARGS=--dry-run says what it would cost.
table: $(READY)
	@IMU_HOME="$(CURDIR)/build/table-home" $(BIN)/python -m imu_core table --markdown assets/docs/results.md --json assets/results/methods.json $(ARGS)

# The same for the tables and figures of the IMU paper. ARGS='--problem fashion --model small_resnet' needs no CIFAR-10.
tables: $(READY)
	@IMU_HOME="$(CURDIR)/build/table-home" $(BIN)/python -m imu_core tables --markdown assets/docs/paper_tables.md $(ARGS)

# Writes what the page Re-identify shows for the three people whose retrained references ship, and the tables of people.md.
people: $(READY)
	@for who in 0005 0011 0020; do \
	  $(BIN)/python -m imu_core reid --forget identity:$$who --json assets/people/scopes-reid_resnet18-$$who-imu.json || exit 1; \
	done
	@for method in ga npo; do \
	  $(BIN)/python -m imu_core reid --method $$method --json assets/people/scopes-reid_resnet18-0005-$$method.json || exit 1; \
	done
	@for who in 0005 0011; do \
	  $(BIN)/python -m imu_core look --forget identity:$$who --json assets/people/heat-reid_resnet18-$$who-imu.json || exit 1; \
	done
	@$(BIN)/python tests/benchmarks/people_tables.py assets/people assets/docs/people.md

# Originals, then references without each class, three random draws and parts of superclasses, one training after another on both
# cores; what is trained already is left alone, and one that was stopped goes on after its last
# whole epoch. On a machine that has other work, one thread each and two at a time get further: make -j2 cifar OMP_NUM_THREADS=1.
# The first two variables stop glibc from giving the memory of every step back to the system: a quarter faster.
CLASSES := airplane automobile bird cat deer dog frog horse ship truck
TRAIN   := MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 \
           $(BIN)/python -m imu_core train --out $(CURDIR)/assets/models

DRAWS   := 0 1 2
PARTS   := aquatic_mammals/beaver

.PHONY: cifar-airbench cifar-resnet20 cifar-superclasses $(CLASSES:%=cifar-%) $(DRAWS:%=cifar-random-%) $(PARTS:%=cifar-part-%)
cifar: cifar-airbench cifar-resnet20 cifar-superclasses $(CLASSES:%=cifar-%) $(DRAWS:%=cifar-random-%) $(PARTS:%=cifar-part-%)

cifar-airbench cifar-resnet20: cifar-%: $(READY)
	@$(TRAIN) --problem cifar10 --model $*

cifar-superclasses: $(READY)
	@$(TRAIN) --problem cifar20 --model airbench

$(CLASSES:%=cifar-%): cifar-%: cifar-airbench
	@$(TRAIN) --problem cifar10 --model airbench --forget class:$*

$(DRAWS:%=cifar-random-%): cifar-random-%: cifar-airbench
	@$(TRAIN) --problem cifar10 --model airbench --forget random:10%,seed=$*

$(PARTS:%=cifar-part-%): cifar-part-%: cifar-superclasses
	@$(TRAIN) --problem cifar20 --model airbench --forget subclass:$*

check: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/python tests/house/side_by_side.py

# The lock pins setuptools, so that the project itself installs without a network and without build isolation.
$(READY): requirements.lock pyproject.toml
	@echo "Building $(VENV) with $$($(PYTHON) --version): a few minutes the first time, nothing later."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The CPU build of torch is asked for by its exact version first; a looser request may pull in gigabytes of CUDA.
lock:
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/pip install --quiet "torch==2.13.0" "setuptools>=70"
	@build/lock/bin/pip install --quiet --no-build-isolation ".[dev,cluster,postgres]" "torch==2.13.0"
	@{ sed -n '/^#/p' requirements.lock; build/lock/bin/pip freeze --all \
	  | grep -viE '^(pip|imu-core|nvidia-[a-z0-9-]*|cuda-[a-z-]*|triton)( |=)' | sed 's/+cpu$$//'; } > build/requirements.lock
	@mv build/requirements.lock requirements.lock && rm -rf build/lock
	@echo "requirements.lock holds $$(grep -c == requirements.lock) packages"
