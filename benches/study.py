#!/usr/bin/env python3
"""A whole small study: one transfergrid sweep against the same cells as independent jobs in a plain PyTorch loop, as people run them.

usage: python benches/study.py [--studies mnist,cifar10] [--rounds 3] [--jobs 8] [--out FOLDER]
Needs what benches/grid.py needs.

The jobs (benches/peers/job.py) are a cell each: source, then target; and one for each from-scratch twin. They are many and much alike, so
only some of them, spread over the grid, are run in each round, and their mean time is taken for all: `jobs_measured` of `jobs`. They run as is
faster on this machine, found in a warm-up: one at a time with all cores, or one on each core. The ratio of times is also split in two:

  sharing   what the study's plan saves: operations of all cells' own sources and targets over operations of the plan's stages (counted)
  speed     the rest: the same operations done faster, and start-up and reading of the data paid once instead of by every job
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from common import BIN, PEERS, ROOT, machine, run, spread, text, versions, write

CORES = os.cpu_count()


def job(task, cell, threads):
    lambda0, lambda1, seed = cell
    source = [] if lambda0 is None else ["--lambda0", lambda0]
    _, seconds = run([sys.executable, PEERS / "job.py", "--task", task, *source, "--lambda1", lambda1, "--seed", seed, "--threads", threads])
    return seconds


def batch(task, cells, parallel):
    """Seconds that these jobs take, run one on each core or one at a time on all."""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(CORES if parallel else 1) as pool:
        list(pool.map(lambda cell: job(task, cell, 1 if parallel else CORES), cells))
    return time.perf_counter() - start


def operations(study, *more):
    return json.loads(run([BIN, "plan", study, "--preset", "small", "--json", *more])[0])["operations"]


def measure(task, args):
    study = ROOT / f"experiments/{task}.yaml"
    plan = json.loads(run([BIN, "plan", study, "--preset", "small", "--json"])[0])
    axes, seeds = plan["axes"], plan["seeds"]
    cells = [(a, b, s) for s in seeds for a in axes["lambda0"] for b in axes["lambda1"]]
    assert len(cells) == plan["cells"]
    twins = plan["scratch_stages"]
    # Operations of one cell by itself, times cells; the twins are the same in both.
    alone = ["--set", f"lambda0={axes['lambda0'][0]}", "--set", f"lambda1={axes['lambda1'][0]}", "--seeds", "1"]
    one = operations(study, *alone, "--set", "scratch={lambdas: []}")
    scratch = operations(study, *alone) - one
    unshared = one * len(cells) + scratch * len(seeds)
    sharing = unshared / plan["operations"]

    stride = max(1, len(cells) // args.jobs)
    sample = cells[stride // 2 :: stride][: max(args.jobs // CORES, 1) * CORES]
    warm = {parallel: batch(task, sample[:CORES], parallel) for parallel in (True, False)}
    parallel = warm[True] < warm[False]
    print(f"{task}: {CORES} jobs take {warm[True]:.1f} s one on each core, {warm[False]:.1f} s one after another", flush=True)
    rounds = []
    for i in range(args.rounds):
        out = tempfile.mkdtemp()
        try:
            _, ours = run([BIN, "sweep", study, "--preset", "small", "--device", "cpu", "--quiet", "--out", out])
        finally:
            shutil.rmtree(out)
        source_jobs = batch(task, sample, parallel) / len(sample) * len(cells)
        twin_jobs = batch(task, [(None, 0.0, s) for s in range(CORES)], parallel) / CORES * twins
        rounds.append({"ours": ours, "jobs": source_jobs + twin_jobs, "ratio": (source_jobs + twin_jobs) / ours})
        print(f"round {i + 1}", json.dumps(rounds[-1]), flush=True)
    ratio = spread([r["ratio"] for r in rounds])
    result = {
        "task": task, "n": args.rounds, "cells": len(cells), "stages": plan["source_stages"] + plan["target_stages"] + twins,
        "jobs": len(cells) + twins, "jobs_measured": len(sample) + CORES, "jobs_run": "one on each core" if parallel else "one at a time on all cores",
        "ours_seconds": spread([r["ours"] for r in rounds]), "jobs_seconds": spread([r["jobs"] for r in rounds]), "ratio": ratio,
        "sharing": sharing, "speed": {key: value / sharing for key, value in ratio.items()}, "rounds": rounds,
    }
    print(f"{task}: {text(ratio)}× in all = {sharing:.2f}× shared stages · {text(result['speed'])}× speed", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", default="mnist,cifar10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=8, help="jobs to run in each round, besides two twins")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    results = [measure(task, args) for task in args.studies.split(",")]
    command = f"make bench-study ARGS='--studies {args.studies} --rounds {args.rounds} --jobs {args.jobs}'"
    write(args.out, "study.json", {"command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions("torch", "numpy"), "studies": results})


main()
