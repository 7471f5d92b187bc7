"""The two grids that every peer trains: images, models as plain numbers, and what is printed at the end.

A grid is K models of one architecture, λ cycling through LAMBDAS, a seed for every four: different initialisation, data order and
weight decay for each, as in a sweep over λ and seeds. SGD with momentum 0.9, cosine schedule, float32 unless said otherwise.
"""
import argparse
import gzip
import json
import os
import pathlib
import time

import numpy as np

LAMBDAS = [0.0, 1e-4, 1e-3, 1e-2]
BATCH, LR, MOMENTUM = 128, 0.05, 0.9
# name: labels, images of each label in training
TASKS = {"cifar10": ([2, 3, 4, 5, 6, 7], 500), "mnist": ([0, 1, 2, 3, 4], 400)}
CHANNELS, HIDDEN = (32, 64), (256, 256)


def data_folder(name):
    root = pathlib.Path(os.environ.get("TRANSFERGRID_DATA", "data"))
    return root / {"cifar10": "cifar-10-batches-bin", "mnist": "mnist"}[name]


def synthetic(name):
    """Made-up images of the task's shape in place of the real ones: a pattern for each class under noise, as transfergrid's
    `data: synthetic-…` has them (other numbers, the same shapes and counts)."""
    shape = {"cifar10": (32, 32, 3), "mnist": (28, 28, 1)}[name]
    rng, classes = np.random.default_rng(0), len(TASKS[name][0])
    patterns = rng.integers(64, 192, (classes, *shape))
    def half(per_class):
        labels = np.tile(np.arange(classes), per_class)
        return (patterns[labels] + rng.integers(-64, 64, (len(labels), *shape))).clip(0, 255).astype(np.uint8), labels.astype(np.int64)
    return [half(1000), half(200)]


def read(name):
    """Training and test images as uint8 [N, H, W, C] with labels 0 … classes−1, of the task's classes."""
    if os.environ.get("TRANSFERGRID_BENCH_SYNTHETIC"):
        return synthetic(name)
    folder, (classes, _) = data_folder(name), TASKS[name]
    if name == "cifar10":
        def load(files):
            raw = np.concatenate([np.fromfile(folder / f, np.uint8).reshape(-1, 3073) for f in files])
            return raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), raw[:, 0]
        sets = load([f"data_batch_{i}.bin" for i in range(1, 6)]), load(["test_batch.bin"])
    else:
        def idx(stem):
            plain, packed = folder / stem, folder / (stem + ".gz")
            data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
            return np.frombuffer(data, np.uint8)
        sets = tuple((idx(f"{part}-images-idx3-ubyte")[16:].reshape(-1, 28, 28, 1), idx(f"{part}-labels-idx1-ubyte")[8:]) for part in ("train", "t10k"))
    out = []
    for images, labels in sets:
        keep = np.isin(labels, classes)
        out.append((np.ascontiguousarray(images[keep]), np.searchsorted(classes, labels[keep]).astype(np.int64)))
    return out


def subset(labels, name, seed):
    """The rows that model `seed` trains on."""
    rng = np.random.default_rng(seed)
    classes, per_class = TASKS[name]
    return np.concatenate([rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(len(classes))])


def arguments(**more):
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--models", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    for flag, options in more.items():
        parser.add_argument("--" + flag.replace("_", "-"), **options)
    return parser.parse_args()


STARTED = time.perf_counter()


def report(args, seconds, accuracies, **more):
    """`seconds`: of training and the final test alone; `whole`: since the imports began, start-up and compilation included."""
    n = len(TASKS[args.task][0]) * TASKS[args.task][1]
    steps = -(-n // BATCH) * args.epochs
    print(json.dumps({
        "seconds": seconds, "whole": more.pop("whole", None) or time.perf_counter() - STARTED, "images_per_second": args.models * n * args.epochs / seconds,
        "model_steps_per_second": args.models * steps / seconds, "test_accuracy": float(np.mean(accuracies)), **more,
    }))
