#!/usr/bin/env python3
"""Training a grid of small models: a transfergrid sweep against what one would run instead, in turn, in one run on one machine.

usage: python benches/grid.py [--device cpu|cuda] [--cases cifar10:16:5,mnist:16:5,mnist:64:3] [--peers eager,processes,vmap,jax] [--bf16] [--out FOLDER]
Needs: target/release/transfergrid, the data sets under TRANSFERGRID_DATA, benches/peers/requirements.txt in this Python (`make bench`).

Peers (benches/peers/): `eager`, a plain PyTorch loop, channels_last, on CPU with as many threads as are fastest (tried in the warm-up
round); `processes`, the same in several processes at once, on CPU one a core with one thread each; `vmap`, torch.func ensembling; `jax`, vmap + scan + jit.
All train the same grid: images, model, batch size, epochs, optimiser, and test each model once.

For each case two ratios (peer's time over ours, taken within a round):
  steps   training and testing alone: no start-up, no reading of files, nothing compiled. Of the sweep: from its first source stage's start to the
          last one's record on disk; of several processes: the slowest one's
  whole   the whole process: start-up, reading, compilation; of the sweep also the (tiny) targets, TensorBoard, figures, report
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import tempfile
import time

from common import BIN, ROOT, machine, peer, run, spread, text, versions, write

EPOCHS = {"cifar10": 2, "mnist": 20}
IMAGES = {"cifar10": 6 * 500, "mnist": 5 * 400}
SLOW = 4  # a peer this many times slower than the sweep in the warm-up is measured once, not in every round
LIMIT = 5  # and one that takes this many times as long is stopped: only this bound is known of it


def ours(task, models, device, bf16):
    out = tempfile.mkdtemp()
    try:
        precision = ["--set", "precision=bf16"] if bf16 else []
        _, whole = run([BIN, "sweep", ROOT / f"benches/grid-{task}.yaml", "--seeds", models // 4, "--device", device, "--quiet", "--out", out, *precision])
        lines = (pathlib.Path(out) / f"grid-{task}/records/main.jsonl").read_text().splitlines()
        sources = [r for r in map(json.loads, lines) if r["kind"] == "source"]
        assert len(sources) == models and all(r["status"] == "done" for r in sources)
        seconds = max(r["finished"] for r in sources) - min(r["finished"] - r["seconds"] for r in sources)
        accuracy = sum(r["metrics"]["test_acc"] for r in sources) / models
        return {"seconds": seconds, "whole": whole, "test_accuracy": accuracy, "pack": max(r["pack"] for r in sources)}
    finally:
        shutil.rmtree(out)


def processes(flags, models, count):
    """The grid shared among several processes on one GPU."""
    share = models // count
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        done = list(pool.map(lambda i: peer("eager.py", *flags, "--models", share, "--first", i * share), range(count)))
    return {"seconds": max(d["seconds"] for d in done), "whole": time.perf_counter() - start,
            "test_accuracy": sum(d["test_accuracy"] for d in done) / count, "processes": count}


def peers(task, models, device, bf16, wanted):
    """Name → a call that measures it, or gives None when a time-out in seconds is over."""
    flags = ["--task", task, "--epochs", EPOCHS[task], "--device", device, *(["--bf16"] if bf16 else [])]
    all_flags = [*flags, "--models", models]
    found = {}
    threads = range(1, os.cpu_count() + 1) if device == "cpu" else [0]
    for n in threads:
        found[f"eager, {n} thread{'s' * (n > 1)}" if n else "eager"] = lambda timeout, n=n: peer("eager.py", *all_flags, "--threads", n, timeout=timeout)
    # Several processes at once, one thread each: on CPU one a core.
    for count in (os.cpu_count(),) if device == "cpu" else (4, 8, 16):
        found[f"{count} processes"] = lambda _, count=count: processes([*flags, *(["--threads", 1] if device == "cpu" else [])], models, count)
    found["vmap"] = lambda timeout: peer("vmap.py", *all_flags, timeout=timeout)
    found["jax"] = lambda timeout: peer("jax_scan.py", *all_flags, timeout=timeout and 2 * timeout)  # it trains twice
    return {name: call for name, call in found.items() if any(part in name for part in wanted)}


def case(task, models, count, args):
    print(f"\n{task}, {models} models, {'bf16' if args.bf16 else 'float32'}", flush=True)
    todo = peers(task, models, args.device, args.bf16, args.peers.split(","))
    warm = {"ours": ours(task, models, args.device, args.bf16)}
    limit = LIMIT * warm["ours"]["whole"]
    stopped = []
    for name in list(todo):
        warm[name] = todo[name](limit)
        print("warm-up", name, json.dumps(warm[name]), flush=True)
        if warm[name] is None:
            stopped.append(name)
            del warm[name], todo[name]
    eager = [name for name in todo if name.startswith("eager")]
    for name in eager:
        if name != min(eager, key=lambda name: warm[name]["seconds"]):
            del todo[name]  # not the best number of threads
    slow = {name for name in todo if warm[name]["seconds"] > SLOW * warm["ours"]["seconds"]}
    rounds = []
    for i in range(count):
        row = {"ours": ours(task, models, args.device, args.bf16)}
        for name, call in todo.items():
            row[name] = warm[name] if name in slow else call(None)
        rounds.append(row)
        print(f"round {i + 1}", json.dumps({name: round(r["seconds"], 2) for name, r in row.items()}), flush=True)
    steps = models * -(-IMAGES[task] // 128) * EPOCHS[task]
    result = {"task": task, "models": models, "epochs": EPOCHS[task], "precision": "bf16" if args.bf16 else "float32", "n": count, "model_steps": steps, "peers": {},
              "stopped": {name: f"took more than {LIMIT} times as long as the whole sweep" for name in stopped}}
    result["ours"] = {
        "model_steps_per_second": spread([steps / r["ours"]["seconds"] for r in rounds]),
        "images_per_second": spread([models * IMAGES[task] * EPOCHS[task] / r["ours"]["seconds"] for r in rounds]),
        "whole_seconds": spread([r["ours"]["whole"] for r in rounds]), "test_accuracy": rounds[0]["ours"]["test_accuracy"], "pack": rounds[0]["ours"]["pack"],
    }
    for name in todo:
        result["peers"][name] = {
            "measured": 1 if name in slow else count,
            "model_steps_per_second": spread([steps / r[name]["seconds"] for r in rounds]),
            "whole_seconds": spread([r[name]["whole"] for r in rounds]),
            "steps_ratio": spread([r[name]["seconds"] / r["ours"]["seconds"] for r in rounds]),
            "whole_ratio": spread([r[name]["whole"] / r["ours"]["whole"] for r in rounds]),
            "test_accuracy": rounds[0][name]["test_accuracy"],
        }
        print(f"  {name}: steps {text(result['peers'][name]['steps_ratio'])}×, whole {text(result['peers'][name]['whole_ratio'])}×", flush=True)
    result["warm_up"], result["rounds"] = warm, rounds
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cases", help="task:models:rounds, …")
    parser.add_argument("--peers", default="eager,processes,vmap,jax", help="the ones to run")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    cases = args.cases or ("cifar10:16:5,mnist:16:5,mnist:64:3" if args.device == "cpu" else "cifar10:64:5,mnist:64:5")
    results = [case(*(f(part) for f, part in zip((str, int, int), item.split(":"))), args) for item in cases.split(",")]
    command = f"make bench ARGS='--device {args.device} --cases {cases}{' --bf16' if args.bf16 else ''}{'' if args.peers == parser.get_default('peers') else ' --peers ' + args.peers}'"
    summary = {"command": command, "date": time.strftime("%Y-%m-%d"), "device": args.device, "machine": machine(),
               "versions": versions("torch", "jax", "numpy"), "cases": results}
    write(args.out, f"grid-{args.device.split(':')[0]}{'-bf16' if args.bf16 else ''}{'' if args.peers == parser.get_default('peers') else '-' + args.peers.replace(',', '-')}.json", summary)


main()
