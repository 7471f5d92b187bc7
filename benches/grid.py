#!/usr/bin/env python3
"""Training a grid of small models: a transfergrid sweep against what one would run instead, in turn, in one run on one machine.

usage: python benches/grid.py [--device cpu|cuda] [--cases cifar10:16:5,mnist:16:5,mnist:64:3] [--peers eager,graph,processes,vmap,jax] [--bf16]
                              [--synthetic] [--limit SECONDS] [--out FOLDER]
Needs: target/release/transfergrid (or TRANSFERGRID_BIN), the data sets under TRANSFERGRID_DATA (not with --synthetic: made-up images of the
same shapes), benches/peers/requirements.txt in this Python (`make bench`). On CUDA the versions of torch and jax are those found; a peer that
is not there or fails is left out with its words. Results are written after every round.

Peers (benches/peers/): `eager`, a plain PyTorch loop, channels_last, on CPU with as many threads as are fastest (tried in the warm-up
round); `graph` (CUDA only), the same with its step captured as a CUDA graph, the strongest loop over models; `processes`, the same in several processes at once, on CPU one a core with one thread each; `vmap`, torch.func ensembling; `jax`, vmap + scan + jit.
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

from common import BIN, Failed, ROOT, machine, peer, run, spread, text, versions, write

EPOCHS = {"cifar10": 2, "mnist": 20}
CUDA_EPOCHS = {"cifar10": 10, "mnist": 60}  # a GPU is through with fewer before it has started
SYNTHETIC = {"cifar10": "synthetic-colour", "mnist": "synthetic-grey"}
IMAGES = {"cifar10": 6 * 500, "mnist": 5 * 400}
SLOW = 4  # a peer this many times slower than the sweep in the warm-up is measured once, not in every round
LIMIT = 5  # and one that takes this many times as long is stopped: only this bound is known of it


def ours(task, models, args, calibrations):
    out = tempfile.mkdtemp()
    try:
        more = ["--set", "precision=bf16"] if args.bf16 else []
        if args.synthetic:
            more += ["--set", f"data={SYNTHETIC[task]}"]
            if task == "cifar10":  # its classes have names
                more += ["--set", "source.classes=[2, 3, 4, 5, 6, 7]", "--set", "target.classes=[0, 1, 8, 9]"]
        # The pack sizes and strategies that an earlier round measured.
        folder = pathlib.Path(out) / f"grid-{task}"
        kept = pathlib.Path(calibrations) / f"{task}.json"
        if kept.exists():
            folder.mkdir()
            shutil.copy(kept, folder / "calibration.json")
        _, whole = run([BIN, "sweep", ROOT / f"benches/grid-{task}.yaml", "--seeds", models // 4, "--device", args.device, "--quiet", "--out", out,
                        "--set", f"source.epochs={epochs(task, args.device)}", *more])
        if (folder / "calibration.json").exists():
            shutil.copy(folder / "calibration.json", kept)
        lines = (folder / "records/main.jsonl").read_text().splitlines()
        sources = [r for r in map(json.loads, lines) if r["kind"] == "source"]
        assert len(sources) == models and all(r["status"] == "done" for r in sources)
        seconds = max(r["finished"] for r in sources) - min(r["finished"] - r["seconds"] for r in sources)
        accuracy = sum(r["metrics"]["test_acc"] for r in sources) / models
        return {"seconds": seconds, "whole": whole, "test_accuracy": accuracy, "pack": max(r["pack"] for r in sources)}
    finally:
        shutil.rmtree(out)


def epochs(task, device):
    return (EPOCHS if device == "cpu" else CUDA_EPOCHS)[task]


def processes(flags, models, count, timeout):
    """The grid shared among several processes on one GPU."""
    count = max(n for n in range(1, count + 1) if models % n == 0)  # equal shares
    share = models // count
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        done = list(pool.map(lambda i: peer("eager.py", *flags, "--models", share, "--first", i * share, timeout=timeout), range(count)))
    if None in done:
        return None
    return {"seconds": max(d["seconds"] for d in done), "whole": time.perf_counter() - start,
            "test_accuracy": sum(d["test_accuracy"] for d in done) / count, "processes": count}


def peers(task, models, device, bf16, wanted):
    """Name → a call that measures it, or gives None when a time-out in seconds is over."""
    flags = ["--task", task, "--epochs", epochs(task, device), "--device", device, *(["--bf16"] if bf16 else [])]
    all_flags = [*flags, "--models", models]
    found = {}
    threads = range(1, os.cpu_count() + 1) if device == "cpu" else [0]
    for n in threads:
        found[f"eager, {n} thread{'s' * (n > 1)}" if n else "eager"] = lambda timeout, n=n: peer("eager.py", *all_flags, "--threads", n, timeout=timeout)
    # Several processes at once, one thread each: on CPU one a core.
    for count in (os.cpu_count(),) if device == "cpu" else (4, 8, 16):
        found[f"{count} processes"] = lambda timeout, count=count: processes([*flags, *(["--threads", 1] if device == "cpu" else [])], models, count, timeout)
    if device != "cpu":
        found["graph"] = lambda timeout: peer("eager.py", *all_flags, "--graph", timeout=timeout)
    found["vmap"] = lambda timeout: peer("vmap.py", *all_flags, timeout=timeout)
    found["jax"] = lambda timeout: peer("jax_scan.py", *all_flags, timeout=timeout and 2 * timeout)  # it trains twice
    return {name: call for name, call in found.items() if any(part in name for part in wanted)}


def case(task, models, count, args, calibrations, keep):
    print(f"\n{task}, {models} models, {'bf16' if args.bf16 else 'float32'}", flush=True)
    todo = peers(task, models, args.device, args.bf16, args.peers.split(","))
    own = lambda: ours(task, models, args, calibrations)
    own()  # measures strategies and pack sizes
    warm = {"ours": own()}
    limit = min(LIMIT * warm["ours"]["whole"], args.limit)
    stopped = {}
    for name in list(todo):
        try:
            warm[name] = todo[name](limit)
            why = f"took more than {limit:.0f} s" if warm[name] is None else None
        except Failed as error:
            why = str(error)
        print("warm-up", name, why or json.dumps(warm[name]), flush=True)
        if why:
            stopped[name] = why
            warm.pop(name, None)
            del todo[name]
    eager = [name for name in todo if name.startswith("eager")]
    for name in eager:
        if name != min(eager, key=lambda name: warm[name]["seconds"]):
            del todo[name]  # not the best number of threads
    slow = {name for name in todo if warm[name]["seconds"] > SLOW * warm["ours"]["seconds"]}
    rounds = []
    for i in range(count):
        row = {"ours": own()}
        for name, call in todo.items():
            try:
                row[name] = warm[name] if name in slow else call(10 * limit)
            except Failed as error:
                row[name], stopped[name] = None, str(error)
        for name in [name for name in todo if row.get(name) is None]:
            stopped.setdefault(name, f"took more than {10 * limit:.0f} s in a round")
            del todo[name]
        rounds.append(row)
        print(f"round {i + 1}", json.dumps({name: round(r["seconds"], 2) for name, r in row.items() if r}), flush=True)
        keep({"task": task, "models": models, "unfinished": True, "warm_up": warm, "rounds": rounds})
    steps = models * -(-IMAGES[task] // 128) * epochs(task, args.device)
    result = {"task": task, "models": models, "epochs": epochs(task, args.device), "data": "made up" if args.synthetic else "real", "precision": "bf16" if args.bf16 else "float32", "n": count, "model_steps": steps, "peers": {},
              "stopped": stopped}
    result["ours"] = {
        "model_steps_per_second": spread([steps / r["ours"]["seconds"] for r in rounds]),
        "images_per_second": spread([models * IMAGES[task] * epochs(task, args.device) / r["ours"]["seconds"] for r in rounds]),
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
    parser.add_argument("--peers", default="eager,graph,processes,vmap,jax", help="the ones to run")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--synthetic", action="store_true", help="made-up images in place of the data sets")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS", help="of one peer's training of one grid")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    cases = args.cases or ("cifar10:16:5,mnist:16:5,mnist:64:3" if args.device == "cpu" else "cifar10:64:5,mnist:64:5")
    if args.synthetic:
        os.environ["TRANSFERGRID_BENCH_SYNTHETIC"] = "1"
    flags = f"--device {args.device} --cases {cases}{' --bf16' * args.bf16}{' --synthetic' * args.synthetic}"
    if args.peers != parser.get_default("peers"):
        flags += " --peers " + args.peers
    name = f"grid-{args.device.split(':')[0]}{'-bf16' * args.bf16}{'-synthetic' * args.synthetic}"
    if args.peers != parser.get_default("peers"):
        name += "-" + args.peers.replace(",", "-")
    summary = {"command": f"make bench ARGS='{flags}'", "date": time.strftime("%Y-%m-%d"), "device": args.device, "machine": machine(),
               "versions": versions("torch", "jax", "numpy"), "cases": []}
    with tempfile.TemporaryDirectory() as calibrations:
        for item in cases.split(","):
            task, models, count = (f(part) for f, part in zip((str, int, int), item.split(":")))
            keep = lambda so_far: write(args.out, name + ".json", {**summary, "cases": [*summary["cases"], so_far]}, quiet=True)
            summary["cases"].append(case(task, models, count, args, calibrations, keep))
            write(args.out, name + ".json", summary)


main()
