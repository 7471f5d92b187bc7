#!/usr/bin/env python3
"""Training throughput: transfergrid's sweep against a plain PyTorch loop over the same stages, in one run on one machine.

usage: python benches/throughput.py [--rounds 5] [--out benches/results/DATE-MACHINE]
Needs: target/release/transfergrid (`make build`), CIFAR-10 under TRANSFERGRID_DATA, PyTorch 2.11 in this Python (`make bench`).

A round runs all in turn: transfergrid, then each peer (benches/peers/eager.py, channels_last, with 1 and 2 threads, as one writes it
and with transfergrid's reordering of pooling and ReLU); ratios are taken within the round. All train the eight source stages
of benches/throughput.yaml: the same ConvNet, images, batch size, epochs and optimiser, float32, and test each model once.
Time is that of training and testing: no start-up, no reading of files (transfergrid: from its records; peer: around its loop).
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "target/release/transfergrid"
STUDY = ROOT / "benches/throughput.yaml"
IMAGES = 6 * 500 * 4  # per stage: classes × per_class × epochs
STAGES = 8
PEERS = {"1 thread": ["--threads", "1"], "2 threads": ["--threads", "2"], "2 threads, pool first": ["--threads", "2", "--pool-first"]}


def ours():
    """images/s over the whole sweep: images of all source stages over the time from its first start to its last end."""
    out = tempfile.mkdtemp()
    try:
        subprocess.run([BIN, "sweep", STUDY, "--device", "cpu", "--quiet", "--out", out], check=True, stdout=subprocess.DEVNULL)
        lines = (pathlib.Path(out) / "throughput/records/main.jsonl").read_text().splitlines()
        sources = [r for r in map(json.loads, lines) if r["kind"] == "source"]
        assert len(sources) == STAGES and all(r["status"] == "done" for r in sources)
        first = min(r["finished"] - r["seconds"] for r in sources)
        last = max(r["finished"] for r in sources)
        return STAGES * IMAGES / (last - first), statistics.mean(r["metrics"]["test_acc"] for r in sources)
    finally:
        shutil.rmtree(out)


def peer(flags):
    command = [sys.executable, ROOT / "benches/peers/eager.py", *flags, "--stages", str(STAGES)]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return done["images_per_second"], done["test_accuracy"]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    rounds = []
    for i in range(args.rounds + 1):
        (speed, accuracy), peers = ours(), {name: peer(flags) for name, flags in PEERS.items()}
        row = {"ours": speed, "ours_accuracy": accuracy, "peer": {name: p[0] for name, p in peers.items()}, "peer_accuracy": peers["2 threads"][1],
               "ratio": {name: speed / p[0] for name, p in peers.items()}}
        print("warm-up" if i == 0 else f"round {i}", json.dumps(row), flush=True)
        if i > 0:
            rounds.append(row)
    doctor = json.loads(subprocess.run([BIN, "doctor", "--json"], check=True, capture_output=True, text=True).stdout)
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    summary = {
        "command": "make bench",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"program": doctor["program"], "commit": doctor["commit"], "libtorch": doctor["torch"]["libtorch"], "python": platform.python_version()},
        "n": len(rounds),
        "ours_images_per_second": spread([r["ours"] for r in rounds]),
        "peer_images_per_second": {name: spread([r["peer"][name] for r in rounds]) for name in PEERS},
        "ratio": {name: spread([r["ratio"][name] for r in rounds]) for name in PEERS},
        "rounds": rounds,
    }
    print(json.dumps({k: v for k, v in summary.items() if k != "rounds"}, indent=1))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "throughput.json").write_text(json.dumps(summary, indent=1) + "\n")


main()
