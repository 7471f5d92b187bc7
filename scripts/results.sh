#!/usr/bin/env bash
# Runs the studies of networks with --preset small and keeps what came out under docs/results/.
#
# usage: scripts/results.sh [STUDY…]     (no name: all; about an hour on two cores)
#
# What is finished already is not trained again: remove logs/STUDY to start anew. TRANSFERGRID_DATA names the data.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-target/release/transfergrid}
ALL=(mnist cifar10 newsgroups cifar10-l2sp-vs-finetune cifar10-target-size mnist-target-size implicit-regularisation
    multi-target-networks super-aligned architectures-cifar100 scaling-networks beyond-l2 beyond-l2-dropout beyond-l2-smoothing)
for study in "${@:-${ALL[@]}}"; do
    # 3: some cells diverged; the rest is complete, and the report says which.
    "$BIN" sweep "experiments/$study.yaml" --preset small --out logs || [ $? = 3 ]
    out=docs/results/$study
    rm -rf "$out"
    mkdir -p "$out"
    cp "logs/$study/manifest.json" "logs/$study/study.yaml" logs/"$study"/report/{results.csv,summary.json,index.html} logs/"$study"/report/*.svg "$out"
done
