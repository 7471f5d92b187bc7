#!/usr/bin/env python3
"""How cost grows: with stages (mock engine), replicas in a pack, training images, λ₁ values. Figures and numbers.

usage: python benches/growth.py [--parts stages,replicas,data,lambda1] [--rounds 3] [--device cpu] [--out FOLDER]
Needs what benches/grid.py needs.

  stages    a mock sweep of 10 … 10,000 stages: milliseconds for each stage beyond what a sweep of 10 stages takes (start-up, figures)
  replicas  `transfergrid bench` of the MNIST MLP and the CIFAR-10 ConvNet with packs of 1 … 256 models: images/s
  data      a source stage of the MNIST MLP on 10³ … 2.5·10⁴ images (MNIST 0-4), and of the ConvNet (CIFAR-10 animals): seconds for an epoch,
            with its share of the test at the end
  lambda1   a digits study with 1 … 16 values of λ₁: seconds of all source stages and of all target stages
"""
import argparse
import json
import pathlib
import shutil
import tempfile
import time

from common import BIN, ROOT, machine, run, spread, versions, write
from overhead import STUDY


def sweep(study, *more):
    """Wall seconds and records."""
    out = pathlib.Path(tempfile.mkdtemp())
    try:
        _, seconds = run([BIN, "sweep", study, "--quiet", "--out", out, *more])
        records = [json.loads(line) for line in next(out.glob("*/records/main.jsonl")).read_text().splitlines()]
        return seconds, records
    finally:
        shutil.rmtree(out)


def stages(args):
    folder = pathlib.Path(tempfile.mkdtemp())
    rows = []
    for seeds, lambda1 in [(1, 0), (1, 1), (1, 8), (3, 9), (10, 8), (30, 9), (100, 8)]:
        lambdas = "[0]" if lambda1 == 0 else f"[0, {{log: {{from: 1e-5, to: 1, points: {max(lambda1, 2)}}}}}]"
        text = STUDY.format(seeds=seeds, lambda1=8).replace("lambda1: [0, {log: {from: 1e-5, to: 1, points: 8}}]", f"lambda1: {lambdas}")
        if lambda1 == 0:
            text = text.replace("points: 9}}", "points: 4}}")
        (folder / "noop.yaml").write_text(text)
        done = [sweep(folder / "noop.yaml", "--engine", "mock") for _ in range(args.rounds)]
        rows.append({"stages": len(done[0][1]), "seconds": spread([seconds for seconds, _ in done])})
        print(rows[-1], flush=True)
    shutil.rmtree(folder)
    base = rows[0]["seconds"]["median"]
    for row in rows[1:]:
        row["milliseconds_per_stage"] = spread([1000 * (row["seconds"][key] - base) / (row["stages"] - rows[0]["stages"]) for key in ("median", "min", "max")])
    return rows


def replicas(args):
    rows = []
    for task in ("mnist", "cifar10"):
        largest = 256 if task == "mnist" or args.device != "cpu" else 32
        packs = [2 ** i for i in range(9) if 2 ** i <= largest]
        for _ in range(args.rounds):
            out = run([BIN, "bench", ROOT / f"benches/grid-{task}.yaml", "--device", args.device, "--pack", "1", "--packs", ",".join(map(str, packs[1:])), "--seconds", "2", "--json"])[0]
            source = next(t for t in json.loads(out)["tasks"] if t["kind"] == "source")
            for pack, images in [[1, source["images_per_second"]], *source["other_packs"]]:
                if images:
                    rows.append({"task": task, "replicas": pack, "images_per_second": images})
    out = []
    for task, pack in sorted({(r["task"], r["replicas"]) for r in rows}):
        out.append({"task": task, "replicas": pack, "images_per_second": spread([r["images_per_second"] for r in rows if (r["task"], r["replicas"]) == (task, pack)])})
        print(out[-1], flush=True)
    return out


def data(args):
    rows = []
    for task, classes in (("mnist", 5), ("cifar10", 6)):
        for images in (1000, 3000, 10_000, 25_000):
            epochs = max(2, (24_000 if task == "cifar10" else 100_000) // images)  # so that the one test at the end weighs little
            more = ["--device", args.device, "--workers", "1", "--seeds", "1", "--set", "lambda0=0.001", "--set", f"source={{per_class: {images // classes}, epochs: {epochs}}}"]
            times = []
            for _ in range(args.rounds):
                _, records = sweep(ROOT / f"benches/grid-{task}.yaml", *more)
                times.append(next(r["seconds"] for r in records if r["kind"] == "source") / epochs)
            rows.append({"task": task, "images": images // classes * classes, "seconds_per_epoch": spread(times)})
            print(rows[-1], flush=True)
    return rows


def lambda1(args):
    rows = []
    for count in (1, 2, 4, 8, 16):
        values = "[" + ", ".join(["0"] + [str(10 ** (-4 + 4 * i / 15)) for i in range(count - 1)]) + "]"
        sums = []
        for _ in range(args.rounds):
            _, records = sweep(ROOT / "experiments/demo.yaml", "--device", args.device, "--set", f"lambda1={values}", "--set", "lambda0=[0, 1e-3, 1e-2, 1e-1]")
            sums.append({kind: sum(r["seconds"] / r["pack"] for r in records if r["kind"] == kind) for kind in ("source", "target")})
        rows.append({"lambda1": count, **{f"{kind}_seconds": spread([s[kind] for s in sums]) for kind in ("source", "target")}})
        print(rows[-1], flush=True)
    return rows


def draw(result, out):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    plt.rcParams.update({"font.size": 11, "axes.grid": True, "grid.alpha": 0.25, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.2), constrained_layout=True)
    blue, orange = "#0072B2", "#D55E00"

    def line(ax, rows, x, y, label, color, marker="o"):
        mid = [r[y]["median"] for r in rows]
        low = [m - r[y]["min"] for m, r in zip(mid, rows)]
        high = [r[y]["max"] - m for m, r in zip(mid, rows)]
        ax.errorbar([r[x] for r in rows], mid, [low, high], label=label, color=color, marker=marker, capsize=3, markersize=5)

    ax = axes[0, 0]
    line(ax, [r for r in result["stages"] if "milliseconds_per_stage" in r], "stages", "milliseconds_per_stage", None, blue)
    ax.set(xscale="log", xlabel="stages of a mock sweep", ylabel="ms for each further stage", title="Planner, queue and store")
    ax.set_ylim(bottom=0)
    names = {"mnist": ("MNIST MLP", blue, "o"), "cifar10": ("CIFAR-10 ConvNet", orange, "s")}
    for ax, rows, x, y, labels in (
        (axes[0, 1], result["replicas"], "replicas", "images_per_second", ("models in a pack", "images/s, all workers")),
        (axes[1, 0], result["data"], "images", "seconds_per_epoch", ("training images", "s for an epoch, one worker")),
    ):
        for task, (name, color, marker) in names.items():
            line(ax, [r for r in rows if r["task"] == task], x, y, name, color, marker)
        ax.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
        ax.legend(frameon=False)
    axes[0, 1].set_xscale("log", base=2)
    axes[0, 1].set_title("Replicas" + (" (a worker for each core)" if result["device"] == "cpu" else ""))
    axes[1, 0].set_title("Data")
    ax = axes[1, 1]
    for kind, color, marker in (("source", orange, "s"), ("target", blue, "o")):
        line(ax, result["lambda1"], "lambda1", f"{kind}_seconds", f"{kind} stages", color, marker)
    ax.set(xlabel="values of λ₁ (demo study, 4 λ₀, 5 seeds)", ylabel="s of training, all stages", title="λ₁: targets only")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    for kind in ("svg", "png"):
        figure.savefig(out / f"growth.{kind}", dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="stages,replicas,data,lambda1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    result = {"command": "make bench-growth", "date": time.strftime("%Y-%m-%d"), "device": args.device, "machine": machine(), "versions": versions(), "n": args.rounds}
    for part in args.parts.split(","):
        result[part] = {"stages": stages, "replicas": replicas, "data": data, "lambda1": lambda1}[part](args)
    write(args.out, "growth.json", result)
    if args.out and args.parts.count(",") == 3:
        draw(result, args.out)


if __name__ == "__main__":
    main()
