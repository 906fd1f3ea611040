# `make` lists the targets. PYTHON=/path/to/python uses an environment that is already there instead of .venv.
# DEVICE=cpu or DEVICE=cuda overrules the detection by nvidia-smi.
.DEFAULT_GOAL := help
SHELL := /bin/bash

DEVICE ?= $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo cuda || echo cpu)
ifdef PYTHON
ENV :=
else
ENV := setup
PYTHON := .venv/bin/python
endif

export DEVICE
export OMP_NUM_THREADS ?= 1
export RAY_USAGE_STATS_ENABLED ?= 0
export RAY_AUTH_MODE ?= disabled
export VLLM_NO_USAGE_STATS ?= 1
export TOKENIZERS_PARALLELISM ?= false
ifeq ($(DEVICE),cpu)
export TORCHDYNAMO_DISABLE ?= 1
export DS_ACCELERATOR ?= cpu
export VLLM_CPU_OMP_THREADS_BIND ?= nobind
endif

SMOKE := configs/smoke$(if $(filter cuda,$(DEVICE)),-gpu).yaml
TINY := .cache/models/tiny-qwen3
SMOLLM2 := .cache/models/smollm2-135m-instruct
LATENT := configs/smollm2-135m-gsm8k.yaml
STUDY ?= configs/studies/ladder.yaml
STUDIES := arithmetic-i2b arithmetic-grpo gsm8k-i2b gsm8k-grpo
OTHERS := latent_fit.steps=40 latent_fit.beta_cycles=1 latent_fit.min_use=-100 latent_fit.min_active_units=0

# $(call make_models,TASKS,SEEDS): the tiny models of tasks
define make_models
for task in $(1); do for seed in $(2); do $(PYTHON) tools/make_tiny_model.py configs/tasks/$$task.yaml \
	--out .cache/models/tasks/$$task-$$seed --seed $$seed || exit; done; done
endef

.PHONY: help setup smoke test lint format bench bench-rollout bench-learner bench-verifier bench-weights chaos simulate study study-models study-short study-estimators study-latent study-runs study-questions smollm2 doctor pins clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup:  ## create or update .venv for this machine
	@python3 tools/setup_env.py

smoke: $(ENV)  ## set up, make a tiny model and train it end to end, on the CPU or on one GPU
	$(PYTHON) tools/make_tiny_model.py --out $(TINY) --seed 0
	$(PYTHON) -m ib_lpo train $(SMOKE) cluster.device=$(DEVICE) --fresh
	$(PYTHON) tools/beside_study.py runs/smoke$(if $(filter cuda,$(DEVICE)),-gpu) studies/ladder --task sums --variants grpo,distinct

test: $(ENV)  ## every test; the browser tests need a Chromium, which is installed where that is possible
	$(PYTHON) tools/setup_browser.py
	$(PYTHON) -m pytest

lint: $(ENV)  ## ruff: rules and format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: $(ENV)  ## apply ruff's format and its safe fixes
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

bench: bench-rollout bench-learner bench-verifier bench-weights  ## every measurement below

bench-rollout: $(ENV)  ## measure what PSA and entropies cost, what branching together and the prefix cache save
	$(PYTHON) tools/bench_rollout.py

bench-learner: $(ENV)  ## measure the loss step against TRL, tree packing against flat, and the log-probs' memory
	$(PYTHON) tools/bench_learner.py

bench-verifier: $(ENV)  ## measure what the verifier grades per second and core, and how long hostile answers take
	$(PYTHON) tools/bench_verifier.py

bench-weights: $(ENV)  ## measure every way of publishing weights against memcpy, and the first token after a commit
	$(PYTHON) tools/bench_weights.py

chaos: $(ENV)  ## kill every kind of process at random moments of real runs, and check that nothing is lost; about an hour
	$(PYTHON) tools/chaos.py

simulate: $(ENV)  ## the real driver on 256 simulated engines: idle time, lost work, cost per trajectory; about an hour
	$(PYTHON) tools/simulate.py

study-models: $(ENV)  ## make the tiny models of configs/studies/ladder.yaml, four for each of three tasks; about 20 minutes of one core
	$(call make_models,sums two_ways sparse,2 3 5 6)

study: study-models  ## run a study: make study STUDY=configs/studies/ladder.yaml; a killed one goes on; hours
	$(PYTHON) -m ib_lpo study $(STUDY)

study-short: $(ENV)  ## compare the method with GRPO on three tiny models at equal generated tokens; about 15 minutes of two cores
	$(call make_models,two_ways,2 3 5)
	$(PYTHON) -m ib_lpo study configs/studies/short.yaml

study-estimators: $(ENV)  ## compare the estimators of S_IB on four written solutions and on sampled ones of GSM8K
	$(PYTHON) tools/fetch_smollm2.py --out $(SMOLLM2)
	$(PYTHON) tools/study_estimators.py --model $(SMOLLM2)

study-latent: $(ENV)  ## fit latents of three injections to SmolLM2, and compare branches with z and without on GSM8K; hours on a CPU
	$(PYTHON) tools/fetch_smollm2.py --out $(SMOLLM2)
	$(PYTHON) tools/fetch_minilm.py
	$(PYTHON) tools/fetch_gsm8k.py
	$(PYTHON) -m ib_lpo latent fit $(LATENT) --resume
	$(PYTHON) -m ib_lpo latent fit $(LATENT) $(OTHERS) latent.injection=input name=smollm2-135m-gsm8k-input --resume
	$(PYTHON) -m ib_lpo latent fit $(LATENT) $(OTHERS) latent.injection=softmax name=smollm2-135m-gsm8k-softmax --resume
	$(PYTHON) -m ib_lpo analyze latent $(LATENT)

study-runs: $(ENV)  ## train SmolLM2 by I2B-LPO and by GRPO, and draw docs/analyses.md and the report; two hours of one core, after study-latent
	for run in $(STUDIES); do $(PYTHON) -m ib_lpo train configs/studies/$$run.yaml --fresh || exit; done
	for task in arithmetic gsm8k; do for analysis in dynamics entropy compare; do \
		$(PYTHON) -m ib_lpo analyze $$analysis runs/$$task-i2b runs/$$task-grpo --out docs/figures/$$task || exit; done; done
	$(PYTHON) -m ib_lpo analyze failures runs/gsm8k-i2b --out docs/figures/gsm8k
	$(PYTHON) tools/screenshot_report.py runs/gsm8k-i2b

study-questions: $(ENV)  ## prepare questions, evaluate SmolLM2 on GSM8K and decode from its certain and uncertain tokens; 40 minutes of one core, after study-latent
	$(PYTHON) -m ib_lpo data prepare configs/data/smollm2-gsm8k.yaml
	$(PYTHON) -m ib_lpo eval configs/eval/smollm2-gsm8k.yaml --fresh
	$(PYTHON) -m ib_lpo analyze entropy-groups $(LATENT)
	cp runs/smollm2-135m-gsm8k-analysis/entropy_groups.* docs/figures/

smollm2: $(ENV)  ## fetch SmolLM2-135M-Instruct and train it on one-digit sums
	$(PYTHON) tools/fetch_smollm2.py --out $(SMOLLM2)
	$(PYTHON) -m ib_lpo train configs/smollm2-135m-arithmetic.yaml cluster.device=$(DEVICE) --fresh

doctor: $(ENV)  ## check this machine and the environment
	$(PYTHON) -m ib_lpo doctor

pins: $(ENV)  ## write requirements/ from the versions installed here (CPU)
	$(PYTHON) tools/pin_requirements.py

clean:  ## remove caches of Python, pytest and ruff; keeps .venv, .cache and runs
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	rm -rf .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
