#!/usr/bin/env python3
"""Training throughput: transfergrid's sweep against a plain PyTorch loop over the same stages, in one run on one machine.

usage: python benches/throughput.py [--rounds 5] [--out benches/results/DATE-MACHINE]
Needs: target/release/transfergrid (`make build`), CIFAR-10 under TRANSFERGRID_DATA, PyTorch 2.11 in this Python (`make bench`).

A round runs both, in turn: first transfergrid, then the peer (benches/peers/eager.py) with each thread count in PEER_THREADS; the
ratio is taken within the round, against the peer's best thread count of that round. Both train K source stages of
benches/throughput.yaml: the same ConvNet, images, batch size, epochs and optimiser, float32. Time is the time of
training alone: no start-up, no reading of files, no compilation (transfergrid: from its records; peer: around its loop).
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
IMAGES = 6 * 500 * 2  # per stage: classes × per_class × epochs
STAGES = 8
PEER_THREADS = [1, 2]


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


def peer(threads):
    command = [sys.executable, ROOT / "benches/peers/eager.py", "--threads", str(threads), "--stages", str(STAGES)]
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
        (speed, accuracy), peers = ours(), {t: peer(t) for t in PEER_THREADS}
        best = max(p[0] for p in peers.values())
        row = {"ours": speed, "ours_accuracy": accuracy, "peer": {t: p[0] for t, p in peers.items()}, "peer_accuracy": peers[1][1], "ratio": speed / best}
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
        "peer_images_per_second": {t: spread([r["peer"][t] for r in rounds]) for t in PEER_THREADS},
        "ratio_to_best_peer": spread([r["ratio"] for r in rounds]),
        "rounds": rounds,
    }
    print(json.dumps({k: v for k, v in summary.items() if k != "rounds"}, indent=1))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "throughput.json").write_text(json.dumps(summary, indent=1) + "\n")


main()
