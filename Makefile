# `make demo` or `make test` on a fresh machine (Rust, a C++ compiler, make, python3 with venv) does the rest by itself.
SHELL := /bin/bash
BIN := target/release/transfergrid
CARGO := cargo
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help build demo mnist-sweep cifar-sweep theory tensorboard test test-no-torch test-cuda test-faults check-results fuzz check docs bench bench-study bench-growth bench-overhead bench-report bench-theory image image-test clean-venv
help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

DOCKER := docker
IMAGE := transfergrid

# libtorch: LIBTORCH, or the active Python's PyTorch 2.11, or PyTorch from PyPI in .venv (TORCH=cpu|cuda overrides the choice).
.PHONY: libtorch
libtorch:
	@scripts/libtorch.sh

build: libtorch ## build the program (first time: a few minutes)
	$(CARGO) build --release

demo: build ## the paper's Figure 1 on data, half a minute on two cores
	$(BIN) sweep experiments/demo.yaml $(ARGS)

PREFIX ?= $(HOME)/.local
.PHONY: install wheel
install: build ## binary, man pages, completions and studies under PREFIX (~/.local)
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/transfergrid
	install -d $(DESTDIR)$(PREFIX)/share/transfergrid/experiments
	install -m 644 experiments/*.yaml $(DESTDIR)$(PREFIX)/share/transfergrid/experiments
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BIN) man $(DESTDIR)$(PREFIX)/share/man/man1
	$(BIN) completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/transfergrid
	$(BIN) completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_transfergrid
	$(BIN) completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/transfergrid.fish

wheel: libtorch ## a wheel for environments that have PyTorch 2.11: target/wheels/
	scripts/wheel.sh

mnist-sweep: build ## the MNIST study (data: transfergrid data fetch mnist)
	$(BIN) sweep experiments/mnist.yaml $(ARGS)

cifar-sweep: build ## the CIFAR-10 study (data: transfergrid data fetch cifar10)
	$(BIN) sweep experiments/cifar10.yaml $(ARGS)

# The theory needs no libtorch; in a folder of its own, so that the two builds do not undo each other.
THEORY := target/no-torch/release/transfergrid
.PHONY: $(THEORY)
$(THEORY):
	$(CARGO) build --release --no-default-features --target-dir target/no-torch

THEORY_STUDIES := figure1 noise-ablation target-size target-size-anisotropic covariance scaling mismatch-cost multi-target
theory: $(THEORY) ## the paper's linear claims, predicted and simulated: logs/theory.html (no libtorch needed)
	$(THEORY) theory run $(THEORY_STUDIES:%=experiments/%.yaml) $(ARGS)

tensorboard: .venv/tools ## watch logs/ in TensorBoard
	.venv/bin/tensorboard --logdir logs

# The tests' Python side: TensorBoard reads back what was written.
.venv/tools: scripts/requirements-tools.txt
	@test -x .venv/bin/python || python3 -m venv .venv
	.venv/bin/python -m pip install -q -r $<
	@touch $@

# What compares with PyTorch itself: the whole of it, which can be imported (5 GB).
.venv/pytorch: scripts/requirements-pytorch.txt
	@test -x $@/bin/python || python3 -m venv $@
	$@/bin/python -m pip install -q -r $<
	@touch $@

test: libtorch .venv/tools ## all tests; with TRANSFERGRID_DATA also those on real MNIST and CIFAR-10
	$(CHECKED)

# Debug assertions and overflow checks in these packages alone: the dependencies are not built again.
CHECKED := $(CARGO) test --release --workspace $(foreach name,transfergrid transfergrid-base transfergrid-theory,\
	--config 'profile.release.package.$(name).debug-assertions=true' --config 'profile.release.package.$(name).overflow-checks=true')

test-no-torch: .venv/tools ## the tests of a build without libtorch
	$(CARGO) test --release --no-default-features --target-dir target/no-torch $(NO_TORCH) -- $(SKIP)
NO_TORCH := --lib --test suite

check-results: libtorch ## before a release: the committed results are those of the shipped studies
	$(CARGO) test --release --test suite -- --ignored every_study_of_networks

# Kills, damage, full disks, races, and a real Slurm where SLURM_CONF names one; one at a time, since they look at the clock.
test-faults: libtorch ## minutes of kills, damage, full disks and races; a real Slurm, if there is one
	$(CHECKED) --test faults --test slurm -- --ignored --nocapture --test-threads=1

test-cuda: build ## doctor's proof on the GPU, then the tests that train, there (DEVICE=cuda:0)
	$(BIN) doctor --cuda --device $(or $(DEVICE),cuda:0)
	TRANSFERGRID_TEST_DEVICE=$(or $(DEVICE),cuda:0) $(CARGO) test --release --test suite -- --test-threads=1 fused:: sweep_torch:: regularisers::

fuzz: libtorch ## the readers under mutated input, ten minutes each
	TRANSFERGRID_FUZZ_SECONDS=600 $(CARGO) test --release --test fuzz -- --nocapture --test-threads=2

check: libtorch .venv/tools ## what a developer runs before a commit
	.venv/bin/hadolint Dockerfile
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --all-targets --no-default-features --target-dir target/no-torch -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps --document-private-items -q
	$(CHECKED) --test suite -q -- walls:: plain_words::

docs: build ## docs/study.md from the settings' doc comments
	$(BIN) schema --markdown > docs/study.md

bench: build .venv/bench ## grids of small models against PyTorch loops, vmap and JAX (ARGS='--device cuda' on a GPU)
	.venv-bench/bin/python benches/grid.py $(ARGS)

bench-study: build .venv/bench ## a whole small study against independent PyTorch jobs
	.venv-bench/bin/python benches/study.py $(ARGS)

bench-growth: build .venv/bench ## how cost grows with stages, replicas, data, λ₁
	.venv-bench/bin/python benches/growth.py $(ARGS)

bench-overhead: build .venv/bench ## what a job that does nothing costs, against Hydra and Optuna
	.venv-bench/bin/python benches/overhead.py $(ARGS)

bench-report: build ## how long a report of 10,000 records takes
	python3 benches/report.py $(ARGS)

bench-theory: $(THEORY) ## the ridge module against scikit-learn and NumPy
	$(CARGO) build --release --no-default-features --target-dir target/no-torch --example ridge_bench
	@test -x .venv-bench/bin/python || python3 -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r benches/peers/requirements-theory.txt
	.venv-bench/bin/python benches/theory.py $(ARGS)

.PHONY: .venv/bench
.venv/bench:
	@test -x .venv-bench/bin/python || python3 -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r benches/peers/requirements.txt

# TORCH=cuda|cpu|none: with CUDA's libraries, the CPU's alone, or without training.
image: ## the container image (TORCH=cpu, TORCH=none: smaller)
	$(DOCKER) build --build-arg TORCH=$(or $(TORCH),cuda) --build-arg COMMIT=$$(git rev-parse --short=12 HEAD) -t $(IMAGE) .

image-test: ## runs the image without root on a read-only file system, stops and resumes it
	DOCKER=$(DOCKER) scripts/image-test.sh $(IMAGE)

clean-venv: ## forget libtorch, to choose anew
	rm -rf .venv
