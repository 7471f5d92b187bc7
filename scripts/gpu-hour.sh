#!/usr/bin/env bash
# What to run where a GPU is at hand for an hour: proof, speed, a study. Each step ends within ten minutes and leaves a log, and JSON
# where there is something to compute with.
#
#   scripts/gpu-hour.sh FOLDER              all steps, one after the other
#   scripts/gpu-hour.sh FOLDER proof        one of them: proof, speed, speed-bf16, study
#
# Needs: the program (target/release/transfergrid or TRANSFERGRID_BIN; a carried one finds libtorch by LD_LIBRARY_PATH) and, for speed,
# a Python (PYTHON) with torch, NumPy and, if it is there, jax. No network and no data sets. DEVICE=cuda:0; DEVICE=cpu tries it all out.
set -uo pipefail
if [[ $# -lt 1 || $# -gt 2 ]]; then sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; fi
mkdir -p "$1" || exit 1
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 1
device=${DEVICE:-cuda:0}
export TRANSFERGRID_BIN=${TRANSFERGRID_BIN:-$PWD/target/release/transfergrid}
python=${PYTHON:-python3}
limit=590

if [[ $device == cpu ]]; then
  cases=cifar10:4:1,mnist:4:1 proof=(--self-test) study=(--preset small --seeds 1 --set 'lambda0=[0, 1e-2]' --set 'lambda1=[0.1]' --set source.epochs=1)
else
  cases=cifar10:64:3,mnist:64:3 proof=(--cuda --device "$device") study=(--preset small)
fi
# CIFAR-10 itself where it is, else made-up images of its shape.
if ! "$TRANSFERGRID_BIN" data verify cifar10 > /dev/null 2>&1; then
  study+=(--set data=synthetic-colour --set 'source.classes=[2, 3, 4, 5, 6, 7]' --set 'target.classes=[0, 1, 8, 9]' --set source.per_class=600)
fi

speed() {
  "$python" -c 'import torch, numpy' || { echo "speed needs torch and NumPy in $python (PYTHON names another)"; return 1; }
  timeout "$limit" "$python" benches/grid.py --device "$device" --cases "$cases" --synthetic --limit 60 --out "$out" "$@"
}

step() {
  case $1 in
    # Each line as it comes, so that a crash loses nothing.
    proof) timeout "$limit" "$TRANSFERGRID_BIN" doctor "${proof[@]}" ;;
    speed) speed ;;
    speed-bf16) speed --bf16 ;;
    study)
      timeout "$((limit - 120))" "$TRANSFERGRID_BIN" sweep experiments/cifar10.yaml --device "$device" --out "$out" "${study[@]}" &&
        timeout 120 "$TRANSFERGRID_BIN" bench experiments/cifar10.yaml --device "$device" --out "$out" "${study[@]}" --json > "$out/bench.json" ;;
    *) echo "gpu-hour: no step $1: proof, speed, speed-bf16, study" >&2; return 2 ;;
  esac
}

failed=()
for name in ${2:-proof speed speed-bf16 study}; do
  started=$SECONDS
  printf '%s ... ' "$name"
  step "$name" > "$out/$name.log" 2>&1
  code=$?
  case $code in
    0) echo "done in $((SECONDS - started)) s" ;;
    2) cat "$out/$name.log" 2>/dev/null; exit 2 ;;
    124) echo "stopped after $limit s; what was measured by then is kept"; failed+=("$name") ;;
    *) echo "FAILED with $code after $((SECONDS - started)) s: see $out/$name.log"; failed+=("$name") ;;
  esac
done
echo "results in $out"
((${#failed[@]} == 0))
