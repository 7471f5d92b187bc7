#!/usr/bin/env python3
"""The ridge module against scikit-learn and NumPy: the same data, one thread each, one run, ratios taken within a round.

usage: python benches/theory.py [--rounds 5] [--draws 1300] [--out benches/results/DATE-MACHINE]
Needs: target/no-torch/release/examples/ridge_bench, NumPy and scikit-learn in this Python (`make bench-theory`).

1. A 50-λ path of ‖β̂(λ) − w‖² at n = 2000, p = 1000 from X, y and w: time from the arrays in memory to the risks.
2. The whole of Figure 1 (3 settings × 21 ρ, 41 λ, p = 400): time to all ratios, with the standard error that the draws give.
3. One (λ₀, λ₁) of the deterministic equivalent at p = 1000; a draw of the chi model at p = 10⁴ with 50 λ, and its memory.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import sklearn

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "target/no-torch/release"
PEERS = ROOT / "benches/peers"
ONE = {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in ["OMP", "OPENBLAS", "MKL", "RAYON"]}}
WAYS = ["sklearn-loop", "sklearn-svd", "numpy-eigh"]


def call(*command):
    return json.loads(subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, env=ONE).stdout)


def ours(*arguments):
    return call(TARGET / "examples/ridge_bench", *arguments)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=1300)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    n, p = 2000, 1000
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        x, w = rng.standard_normal((n, p)), rng.standard_normal(p) / p ** 0.5
        for name, array in {"x": x, "w": w, "y": x @ w + rng.standard_normal(n), "lambdas": np.geomspace(1, 1e5, 50)}.items():
            np.save(f"{folder}/{name}.npy", array)
        for i in range(args.rounds + 1):
            path = {"ours": ours("path", folder), **{way: call(sys.executable, PEERS / "ridge_path.py", folder, way) for way in WAYS}}
            for way in WAYS:  # the same numbers, or there is nothing to compare
                assert np.allclose(path[way]["risks"], path["ours"]["risks"], rtol=1e-8), way
            figure = {"ours": ours("figure", args.draws), "numpy-eigh": call(sys.executable, PEERS / "figure1.py", args.draws)}
            a, b = figure["ours"], figure["numpy-eigh"]
            few = min(len(a["ratios"]), len(b["ratios"]))
            assert few > 50 and abs(a["ratios"][6] / b["ratios"][6] - 1) < 0.05, "Figure 1 differs"
            row = {
                "path_seconds": {k: v["seconds"] for k, v in path.items()},
                "path_ratio": {way: path[way]["seconds"] / path["ours"]["seconds"] for way in WAYS},
                "figure_seconds": {k: v["seconds"] for k, v in figure.items()},
                "figure_ratio": b["seconds"] / a["seconds"],
                "figure_largest_error": {k: v["largest_error"] for k, v in figure.items()},
                "equivalent": ours("equivalent"),
                "chi": ours("chi"),
            }
            print("warm-up" if i == 0 else f"round {i}", json.dumps(row), flush=True)
            if i > 0:
                rounds.append(row)
    program = subprocess.run([TARGET / "transfergrid", "doctor", "--json"], capture_output=True, text=True)
    doctor = json.loads(program.stdout) if program.stdout.startswith("{") else {}
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    summary = {
        "command": "make bench-theory",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"program": doctor.get("program"), "commit": doctor.get("commit"), "python": platform.python_version(),
                     "numpy": np.__version__, "scikit-learn": sklearn.__version__},
        "n": len(rounds),
        "threads": 1,
        "figure_draws": args.draws,
        "path_seconds": {k: spread([r["path_seconds"][k] for r in rounds]) for k in ["ours", *WAYS]},
        "path_ratio": {k: spread([r["path_ratio"][k] for r in rounds]) for k in WAYS},
        "figure_seconds": {k: spread([r["figure_seconds"][k] for r in rounds]) for k in ["ours", "numpy-eigh"]},
        "figure_ratio": spread([r["figure_ratio"] for r in rounds]),
        "figure_largest_error": {k: spread([r["figure_largest_error"][k] for r in rounds]) for k in ["ours", "numpy-eigh"]},
        "equivalent_microseconds": {k: spread([r["equivalent"][f"{k}_microseconds"] for r in rounds]) for k in ["diagonal", "full_cell"]},
        "chi_seconds_per_draw": spread([r["chi"]["seconds_per_draw"] for r in rounds]),
        "chi_peak_memory": rounds[-1]["chi"]["peak_memory"],
        "rounds": rounds,
    }
    print(json.dumps({k: v for k, v in summary.items() if k != "rounds"}, indent=1))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "theory.json").write_text(json.dumps(summary, indent=1) + "\n")


main()
