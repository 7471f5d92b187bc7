#!/usr/bin/env python3
"""What a runner costs for each job that does nothing: a mock sweep against Hydra's basic launcher and Optuna's grid sampler.

usage: python benches/overhead.py [--stages 10000] [--rounds 3] [--out FOLDER]

Ours: `sweep --engine mock` over a study of so many stages, whole process: planning, queue, records (synced to disk), source models, TensorBoard
summary, figures, report. Hydra: `--multirun` with the basic launcher over a config of two keys. Optuna: a study in memory, GridSampler over the
two parameters. Both with an objective that returns a number, at sizes they can be waited for, per job.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from common import BIN, machine, run, spread, versions, write

STUDY = """name: noop
data: digits
seeds: {seeds}
lambda0: [0, {{log: {{from: 1e-5, to: 1, points: 9}}}}]
lambda1: [0, {{log: {{from: 1e-5, to: 1, points: {lambda1}}}}}]
model: {{kind: mlp, hidden: [16]}}
source: {{classes: [0, 1, 2], per_class: 20, validation_per_class: 10, epochs: 1, lr: 0.1}}
target: {{classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 1, lr: 0.1}}
scratch: {{lambdas: []}}
"""

HYDRA = """import hydra
@hydra.main(version_base=None, config_path=None)
def main(config):
    return 0.0
if __name__ == "__main__":
    main()
"""


def ours(stages):
    """Seconds for each stage. 10 λ₀ × 9 λ₁ are 10 sources and 90 targets for each seed."""
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        (folder / "noop.yaml").write_text(STUDY.format(seeds=stages // 100, lambda1=8))
        plan = json.loads(run([BIN, "plan", folder / "noop.yaml", "--json"])[0])
        count = plan["source_stages"] + plan["target_stages"]
        _, seconds = run([BIN, "sweep", folder / "noop.yaml", "--engine", "mock", "--quiet", "--out", folder / "logs"])
        return {"jobs": count, "seconds": seconds, "milliseconds_per_job": 1000 * seconds / count}
    finally:
        shutil.rmtree(folder)


def hydra(jobs):
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        (folder / "job.py").write_text(HYDRA)
        grid = ["+lambda0=" + ",".join(str(10.0 ** -i) for i in range(10)), "+lambda1=" + ",".join(str(10.0 ** -i) for i in range(jobs // 10))]
        start = time.perf_counter()
        subprocess.run([sys.executable, "job.py", "--multirun", *grid], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        assert len(list(folder.glob("multirun/*/*/*/.hydra"))) == jobs
        return {"jobs": jobs, "seconds": seconds, "milliseconds_per_job": 1000 * seconds / jobs}
    finally:
        shutil.rmtree(folder)


def optuna(jobs):
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    grid = {"lambda0": [10.0 ** -i for i in range(10)], "lambda1": [float(i) for i in range(jobs // 10)]}
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(grid, seed=0))
    start = time.perf_counter()
    study.optimize(lambda trial: trial.suggest_float("lambda0", 0, 1) * trial.suggest_float("lambda1", 0, 1e6), n_trials=jobs)
    seconds = time.perf_counter() - start
    return {"jobs": len(study.trials), "seconds": seconds, "milliseconds_per_job": 1000 * seconds / len(study.trials)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    rounds = []
    for i in range(args.rounds):
        rounds.append({"ours": ours(args.stages), "hydra, 100 jobs": hydra(100), "optuna, 100 trials": optuna(100), "optuna, 1000 trials": optuna(1000)})
        print(f"round {i + 1}", json.dumps({name: round(r["milliseconds_per_job"], 3) for name, r in rounds[-1].items()}), flush=True)
    per_job = {name: spread([r[name]["milliseconds_per_job"] for r in rounds]) for name in rounds[0]}
    write(args.out, "overhead.json", {
        "command": f"make bench-overhead ARGS='--stages {args.stages} --rounds {args.rounds}'", "date": time.strftime("%Y-%m-%d"), "machine": machine(),
        "versions": versions("hydra-core", "optuna"), "n": args.rounds, "milliseconds_per_job": per_job, "rounds": rounds})


if __name__ == "__main__":
    main()
