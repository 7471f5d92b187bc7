#!/usr/bin/env bash
# scale.sh OUT: what 10⁶ stages in 1,000 shards cost, and all of them in one process, with made-up training (8 GB of disk, 10 minutes). Needs GNU time; BIN names the program.
set -euo pipefail
bin=${BIN:-target/no-torch/release/transfergrid}
out=$(realpath -m "${1:?a folder for the results}")
bin=$(realpath "$bin")
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > million.yaml << YAML
name: million
data: digits
seeds: 100
lambda0: [{log: {from: 1e-6, to: 1, points: 100}}]
lambda1: [{log: {from: 1e-6, to: 1, points: 100}}]
model: {kind: mlp, hidden: [16]}
source: {classes: [0, 1, 2], per_class: 20, validation_per_class: 10, epochs: 2, batch_size: 16, lr: 0.1}
target: {classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 2, batch_size: 8, lr: 0.05}
YAML
measure() { # WHAT COMMAND…: seconds, CPU seconds, MB
    local what=$1
    shift
    /usr/bin/time -f '%e %U %M' -o time "$@" > /dev/null 2> errors || { cat errors; exit 1; }
    awk -v what="$what" '{ printf "%-44s %8.2f s  %8.2f CPU s  %6.0f MB\n", what, $1, $2, $3 / 1024 }' time | tee -a "$out/scale.txt"
}
{
    date -u +%F
    grep -m1 'model name' /proc/cpuinfo
    "$bin" --version
} | tee "$out/scale.txt"
for run in 1 2 3; do measure "10⁶ stages: plan --shards 1000, run $run" "$bin" plan million.yaml --shards 1000 --json; done
"$bin" plan million.yaml --shards 1000 --json | python3 -c '
import json, sys
plan = json.load(sys.stdin)
stages = [shard["stages"] for shard in plan["shards"]]
seconds = [shard["cpu_core_seconds"] for shard in plan["shards"]]
print(f"stages in a shard: {min(stages)} to {max(stages)}; seconds on a core: {min(seconds)} to {max(seconds)}")' | tee -a "$out/scale.txt"
for shard in 7 500 999; do measure "10⁶ stages: sweep --shard $shard/1000" "$bin" sweep million.yaml --engine mock --quiet --out logs --shard "$shard/1000"; done
cat logs/million/records/*.jsonl | wc -lc | awk '{ printf "records: %d lines, %.0f bytes each\n", $1, $2 / $1 }' | tee -a "$out/scale.txt"
rm -r logs
measure "10⁶ stages in one process: sweep" "$bin" sweep million.yaml --engine mock --quiet --out logs
# As a thousand shards leave them.
(cd logs/million/records && split --numeric-suffixes --suffix-length=3 --number=l/1000 --additional-suffix=.jsonl main.jsonl shard- && rm main.jsonl)
for run in 1 2 3; do measure "10⁶ records in 1,000 files: status, run $run" "$bin" status logs/million; done
for run in 1 2 3; do measure "10⁶ records in 1,000 files: report, run $run" "$bin" report logs/million; done
