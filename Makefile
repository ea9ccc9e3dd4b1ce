# `make` alone lists the targets. The first one that needs the tools installs them into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

export BENTOML_DO_NOT_TRACK := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
export TF_CPP_MIN_LOG_LEVEL := 3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
# Without bytecode each process compiles its imports anew: docs/decisions/0006-import-costs.md.
unexport PYTHONDONTWRITEBYTECODE

READY := .venv/.ready
RUN := @python -m pipeline.commands
# The value of a variable, else $(2), as one word of the shell: no character of it can start a command.
quoted = '$(subst ','\'',$(or $(value $(1)),$(2)))'
option = $(if $(value $(2)),$(1) $(call quoted,$(2)))
needed = $(if $(value $(1)),$(call quoted,$(1)),$(error say $(1)=$(2)))
# Only from the command line: a shell may export HOST as the name of the machine, and FORCE overrides a failed gate.
given = $(if $(filter command,$(firstword $(origin $(1)))),$(value $(1)))
DATASET ?= iris
PORT ?= 3000

.PHONY: help
help:  ## list the targets
	@echo "make <target> [DATASET=$(DATASET)]"
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/  \1|\2/' | awk -F'|' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY)  ## make .venv from requirements.lock (other targets do it by themselves)

$(READY): requirements.lock
	@if [ -L .venv ]; then echo "expected .venv as a folder of its own; it is a link, and a set-up would empty what it leads to:" \
	  "remove the link (rm .venv), and run the command again" >&2; exit 1; fi
	@python=$$(for name in python3 python3.13 python3.12 python3.11; do \
	    if $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then echo $$name; break; fi; done); \
	  if [ -z "$$python" ]; then echo "expected Python 3.11, 3.12 or 3.13 as python3, python3.11, …; found none" >&2; exit 1; fi; \
	  echo "Setting up .venv with $$($$python --version) …"; \
	  $$python -m venv --clear .venv
	@command -v uv >/dev/null || python -m pip install --quiet --disable-pip-version-check uv
	@uv pip install --quiet --require-hashes -r requirements.lock
	@touch $(READY)

.PHONY: lock
lock:  ## resolve pyproject.toml into requirements.lock again
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --group dev --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --constraints requirements.lock --custom-compile-command "make lock" bench/peers/serve.in -o bench/peers/serve.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" bench/peers/explain.in -o bench/peers/explain.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --constraints requirements.lock --custom-compile-command "make lock" bench/peers/quality_trees.in -o bench/peers/quality_trees.lock
	for peers in networks autogluon; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" bench/peers/quality_$$peers.in -o bench/peers/quality_$$peers.lock; done
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --constraints requirements.lock --custom-compile-command "make lock" bench/peers/intervals.in -o bench/peers/intervals.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --constraints requirements.lock --custom-compile-command "make lock" bench/peers/data.in -o bench/peers/data.lock

.PHONY: test
test: $(READY)  ## run all tests, in three processes
	python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

.PHONY: coverage
coverage: $(READY)  ## run all tests and list the lines that they do not reach; takes a third longer
	python -m pytest --cov --cov-report=term-missing:skip-covered

.PHONY: fault-test
fault-test: $(READY)  ## kill a search and streamed steps at random moments, more often than `make test` does [KILLS=30 ROWS=600000]
	FAULT_KILLS=$(or $(KILLS),30) FAULT_ENDS="INT KILL TERM KILL KILL" FAULT_ROWS=$(or $(ROWS),600000) \
	  python -m pytest -s tests/test_faults.py tests/test_data_faults.py

.PHONY: settings-reference
settings-reference: $(READY)  ## write docs/reference/parameters.md and the JSON schemas from the settings
	python -m contracts.settings.reference

.PHONY: lint
lint: $(READY)  ## run ruff and mypy
	ruff check .
	ruff format --check .
	mypy

.PHONY: audit
audit: $(READY)  ## run Bandit over the code and pip-audit over requirements.lock; needs a network
	uv tool run bandit --quiet --recursive --severity-level high contracts models serving pipeline
	uv tool run pip-audit -r requirements.lock --require-hashes --disable-pip --strict

.PHONY: repro
repro: $(READY)  ## fetch, preprocess, train, select, evaluate and package, where something has changed [DATASETS="mnist california_housing" FETCH=again]
	$(RUN) repro $(if $(call given,FETCH),--fetch-again) $(foreach name,$(value DATASETS),$(call quoted,,$(name)))

.PHONY: add-data
add-data: $(READY)  ## describe your own data in catalog/: NAME=churn SOURCE=../churn.csv [TARGET=Churn] [SEPARATOR=";"] [DATABASE=variable, for a query]
	@python -m pipeline.commands add-data $(call option,--database,DATABASE) $(call option,--separator,SEPARATOR) -- $(call needed,NAME,churn) $(call needed,SOURCE,../churn.csv) $(call option,,TARGET)

.PHONY: contract
contract: $(READY)  ## write rules for later data of DATASET, once: catalog/contracts/<dataset>.yaml
	$(RUN) contract $(call quoted,DATASET)

.PHONY: check-data
check-data: $(READY)  ## check the source of DATASET, or DATA=new.csv, against its contract
	$(RUN) check-data $(call quoted,DATASET) $(call option,,DATA)

.PHONY: ui
ui: $(READY)  ## start MLflow's UI on 127.0.0.1 [UI_PORT=5000]
	$(RUN) ui --port $(call quoted,UI_PORT,5000)

.PHONY: tune
tune: $(READY)  ## search further and repackage: DATASET=iris TRIALS=50, or TIMEOUT=600 seconds, or both
	$(RUN) tune $(call quoted,DATASET) $(call option,--trials,TRIALS) $(call option,--timeout,TIMEOUT)

.PHONY: studies
studies: $(READY)  ## list the studies: trials by state, best value, last change, MLflow run
	$(RUN) studies

.PHONY: study-export
study-export: $(READY)  ## write the trials of a study as a table: DATASET=iris OUT=trials.csv or .parquet [STUDY=name]
	$(RUN) study-export $(call quoted,DATASET) $(call option,--out,OUT) $(call option,--study,STUDY)

.PHONY: dashboard
dashboard: $(READY)  ## start Optuna's dashboard on 127.0.0.1 [DASHBOARD_PORT=8080]
	$(RUN) dashboard --port $(call quoted,DASHBOARD_PORT,8080)

.PHONY: scheduler
scheduler: $(READY)  ## start a Dask scheduler on 127.0.0.1 [HOST=… SCHEDULER_PORT=8786]; whoever reaches its port can run code on the workers
	$(RUN) scheduler --host $(if $(call given,HOST),$(call quoted,HOST),127.0.0.1) --port $(call quoted,SCHEDULER_PORT,8786)

.PHONY: worker
worker: $(READY)  ## train trials, preprocess rows and predict parts for a scheduler: SCHEDULER=tcp://host:8786 [TRIALS_AT_ONCE=cores]
	$(RUN) worker $(call needed,SCHEDULER,tcp://host:8786) $(call option,--trials-at-once,TRIALS_AT_ONCE)

.PHONY: serve
serve: $(READY)  ## serve the packaged Bento of DATASET on 127.0.0.1 [PORT=3000]
	$(RUN) serve $(call quoted,DATASET) --port $(call quoted,PORT)

.PHONY: predict
predict: $(READY)  ## send the schema's sample row to the running service [PORT=3000]
	$(RUN) predict $(call quoted,DATASET) --port $(call quoted,PORT)

.PHONY: predict-file
predict-file: $(READY)  ## predict a file of any size, or a folder of parts: DATASET=iris IN=rows.csv OUT=predictions.parquet [SCHEDULER=tcp://host:8786]
	@python -m serving.batch artifacts/$(call quoted,DATASET)/bundle $(call needed,IN,rows.csv) $(call needed,OUT,predictions.parquet) $(call option,--scheduler,SCHEDULER)

.PHONY: load
load: $(READY)  ## put a bounded load on the running service [PORT=3000 LOAD_SECONDS=10 LOAD_SHARE=0.8]
	@python -m bench.load --port $(call quoted,PORT) --seconds $(call quoted,LOAD_SECONDS,10) $(call option,--share,LOAD_SHARE)

.PHONY: attack
attack: $(READY)  ## send hostile input to the service, the settings and the parsers, on loopback, under ten minutes [PART=service]
	python -m bench.attack $(PART)

.PHONY: containerize
containerize: $(READY)  ## make an image of the packaged Bento of DATASET; needs a container engine
	$(RUN) containerize $(call quoted,DATASET)

.PHONY: bench-serve
bench-serve: $(READY) var/bench-serve/peers/.ready  ## compare the service with a bare handler and with mlflow models serve; needs wrk and DATA_MIRROR
	python -m bench.serve

var/bench-serve/peers/.ready: bench/peers/serve.lock
	python -m venv --clear var/bench-serve/peers
	uv pip install --quiet --python var/bench-serve/peers/bin/python --require-hashes -r bench/peers/serve.lock
	@touch $@

.PHONY: promote
promote: $(READY)  ## serve a registered version again: DATASET=iris VERSION=1 [NOTE="…"]
	$(RUN) promote $(call quoted,DATASET) $(call option,,VERSION) $(call option,--note,NOTE) $(if $(filter 1,$(call given,FORCE)),--force)

.PHONY: approve
approve: $(READY)  ## make a version the champion and record why: DATASET=iris VERSION=2 NOTE="why" [FORCE=1]
	$(RUN) approve $(call quoted,DATASET) $(call option,,VERSION) $(call option,--note,NOTE) $(if $(filter 1,$(call given,FORCE)),--force)

.PHONY: lineage
lineage: $(READY)  ## show where a version comes from [VERSION=2, else the champion]; or with DATA=<md5> the versions that come from this data
	$(RUN) lineage $(call quoted,DATASET) $(call option,,VERSION) $(call option,--data,DATA)

.PHONY: retrain
retrain: $(READY)  ## train the winner, or VERSION=2, again from its stored settings and compare the results
	$(RUN) retrain $(call quoted,DATASET) $(call option,,VERSION)

.PHONY: lr-range
lr-range: $(READY)  ## run the learning rate range test of DATASET: a suggestion and a curve
	$(RUN) lr-range $(call quoted,DATASET)

.PHONY: references
references: $(READY)  ## train linear models, trees and boosting on the same splits, as runs of the same experiment
	$(RUN) references $(call quoted,DATASET)

.PHONY: tensorboard
tensorboard: $(READY)  ## start TensorBoard with the learning curves of DATASET's trials [TENSORBOARD_PORT=6006]
	$(RUN) tensorboard $(call quoted,DATASET) --port $(call quoted,TENSORBOARD_PORT,6006)

.PHONY: export
export: $(READY)  ## write the champion as SavedModel, weights and architecture JSON: DATASET=iris [OUT=folder]
	$(RUN) export $(call quoted,DATASET) $(call option,,OUT)

.PHONY: bench-train
bench-train: $(READY)  ## compare plain Keras fit with our training, in turns [SYSTEM=S5]; needs DATA_MIRROR or the network
	python -m bench.train $(SYSTEM)

.PHONY: report
report: $(READY)  ## train the course material's networks and compare them with its figures; then the best of each dataset [PART=material]
	python -m bench.report $(PART)

.PHONY: bench-stream
bench-stream: $(READY)  ## compare training from a stream with training from memory and with Keras over CSV, and predict a file; a million rows
	python -m bench.stream

.PHONY: bench-tables
bench-tables: $(READY)  ## train and serve your own tables, and compare with boosted trees [TABLES=<folder>, else $DATA_MIRROR/tables]
	python -m bench.tables $(TABLES)

.PHONY: bench-data
bench-data: $(READY) var/bench-data/peers/.ready  ## stream generated tables through fetch, preprocess and predictions; compare with pandas, Polars and Dask-ML [ROWS="100000 1000000" FORMS=parquet SYSTEMS="streamed polars" MEMORY=8]
	python -m bench.data $(if $(ROWS),--rows $(ROWS)) $(if $(FORMS),--forms $(FORMS)) $(if $(SYSTEMS),--systems $(SYSTEMS)) $(call option,--memory,MEMORY)

.PHONY: bench-data-workers
bench-data-workers: $(READY)  ## preprocess a generated table by one Dask worker and by two, in turns [ROWS=3000000]
	python -m bench.data_workers $(if $(ROWS),--rows $(ROWS))

var/bench-data/peers/.ready: bench/peers/data.lock
	@mkdir -p $(@D)
	uv venv --quiet --clear --python .venv/bin/python $(@D)
	uv pip install --quiet --python $(@D)/bin/python --require-hashes -r bench/peers/data.lock
	@touch $@

QUALITY_PEERS := trees $(if $(filter realmlp tabm,$(WITH)),networks) $(filter autogluon,$(WITH))
.PHONY: bench-quality
bench-quality: $(READY) $(QUALITY_PEERS:%=var/bench-quality/%/.ready)  ## compare the first trial of a search with four libraries of trees, resumable [TABLES=<folder> ONLY="titanic ames" WITH="realmlp tabm autogluon"]; or whole searches with tuned trees: TUNED=1 [BENCH_SECONDS=360]
	python -m bench.quality$(if $(TUNED),_tuned $(call option,--seconds,BENCH_SECONDS)) $(if $(TABLES),--tables $(call quoted,TABLES)) $(if $(ONLY),--only $(ONLY)) $(if $(WITH),--with $(WITH))

.PHONY: bench-answers
bench-answers: $(READY) var/bench-quality/trees/.ready  ## rows/s over HTTP of a search's first network beside the predict of 1,000 boosted trees [TABLES=<folder> ONLY="titanic adult"]
	python -m bench.answers $(if $(TABLES),--tables $(call quoted,TABLES)) $(if $(ONLY),--only $(ONLY))

var/bench-quality/%/.ready: bench/peers/quality_%.lock
	@mkdir -p $(@D)
	uv venv --quiet --clear --python .venv/bin/python $(@D)
	uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

PEER := var/keras_tuner/.ready
$(PEER): $(READY) bench/peers/keras_tuner.txt
	@uv venv --quiet --clear --python .venv/bin/python var/keras_tuner
	@uv pip install --quiet --python var/keras_tuner/bin/python --require-hashes -r bench/peers/keras_tuner.txt
	@touch $(PEER)

.PHONY: bench-search
bench-search: $(PEER)  ## compare Keras Tuner with our search, also on test functions [BENCH_SECONDS=120 SEEDS="1 2 3"]
	python -m bench.search --seconds $(or $(BENCH_SECONDS),120) --seeds $(or $(SEEDS),1 2 3)

.PHONY: bench-gate
bench-gate: $(READY) var/bench-intervals/.ready  ## simulate how often noise is promoted and a better model found; measure coverage and calibration over 20 splits
	python -m bench.gate
	python -m bench.intervals

var/bench-intervals/.ready: bench/peers/intervals.lock
	python -m venv --clear $(@D)
	uv pip install --quiet --python $(@D)/bin/python --require-hashes -r bench/peers/intervals.lock
	@touch $@

.PHONY: bench-explain
bench-explain: $(READY) var/bench-explain/.ready  ## compare explanations with shap's KernelExplainer, for the bundles in artifacts/
	@var/bench-explain/bin/python -m bench.explain

var/bench-explain/.ready: bench/peers/explain.lock
	python -m venv --clear var/bench-explain
	uv pip install --quiet --python var/bench-explain/bin/python --require-hashes -r bench/peers/explain.lock
	@touch $@

.PHONY: bench-engine
bench-engine: $(READY)  ## measure the cost of the search itself, and two workers against one; needs digits preprocessed
	python -m bench.engine

.PHONY: clean
clean:  ## remove everything that runs have made, also downloads and tracked runs
	rm -rf data artifacts metrics plots var dvc.lock .dvc/cache .dvc/tmp
