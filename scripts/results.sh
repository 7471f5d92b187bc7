#!/usr/bin/env bash
# Runs the studies of networks with --preset small and keeps what came out under docs/results/.
#
# usage: scripts/results.sh [STUDY…]     (no name: all; several hours on two cores)
#
# What is finished already is not trained again: remove logs/STUDY to start anew. TRANSFERGRID_DATA
# names the data.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-target/release/transfergrid}
OUT=${OUT:-logs}
ALL=(mnist cifar10 cifar10-to-cifar100 newsgroups cifar10-l2sp-vs-finetune cifar10-target-size mnist-target-size implicit-regularisation
    multi-target-networks super-aligned architectures-cifar100 scaling-networks beyond-l2 beyond-l2-dropout beyond-l2-smoothing)
# They go on until their question is settled, within a budget on two cores.
declare -A MORE=(
    [mnist]="--until settled --budget 30m"
    [newsgroups]="--until settled --budget 40m"
    [cifar10]="--until settled --budget 2h --set precision=bf16"
    [cifar10-target-size]="--until settled --budget 2h --set precision=bf16"
    [cifar10-l2sp-vs-finetune]="--until settled --budget 25m"
    [implicit-regularisation]="--until settled --budget 25m"
    [multi-target-networks]="--until settled --budget 60m"
    [architectures-cifar100]="--until settled --budget 60m"
    [cifar10-to-cifar100]="--until settled --budget 45m"
    [scaling-networks]="--until settled --budget 45m"
    [super-aligned]="--until settled --budget 20m"
    [mnist-target-size]="--until settled --budget 20m"
    [beyond-l2]="--until settled --budget 20m"
    [beyond-l2-dropout]="--until settled --budget 10m"
    [beyond-l2-smoothing]="--until settled --budget 10m"
)
for study in "${@:-${ALL[@]}}"; do
    # shellcheck disable=SC2086 # the flags are words
    # 3: some cells diverged; the rest is complete, and the report says which.
    "$BIN" sweep "experiments/$study.yaml" --preset small --out "$OUT" ${MORE[$study]:-} || [ $? = 3 ]
    out=docs/results/$study
    rm -rf "$out"
    mkdir -p "$out"
    cp "$OUT/$study/manifest.json" "$OUT/$study/study.yaml" "$OUT/$study"/report/{results.csv,summary.json,index.html} "$OUT/$study"/report/*.svg "$out"
    # A large table is kept packed.
    find "$out/results.csv" -size +1000k -exec gzip -9n {} +
done
