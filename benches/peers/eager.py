#!/usr/bin/env python3
"""The peer: a plain PyTorch loop, one model after another, as one would write it today. channels_last, data in memory.

Prints JSON: training images a second over training and the final test, and the mean test accuracy as a check that it learns the same.
"""
import argparse
import json
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

ANIMALS = [2, 3, 4, 5, 6, 7]
PER_CLASS, EPOCHS, BATCH, LR = 500, 4, 128, 0.05
LAMBDAS = [0.0, 1e-4, 1e-3, 1e-2]


def read(names):
    folder = pathlib.Path(os.environ["TRANSFERGRID_DATA"]) / "cifar-10-batches-bin"
    raw = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, 3073) for name in names])
    keep = np.isin(raw[:, 0], ANIMALS)
    return torch.from_numpy(raw[keep, 1:].reshape(-1, 3, 32, 32)), torch.from_numpy(raw[keep, 0].astype(np.int64) - 2)


def model(pool_first):
    """As one writes it: convolution, ReLU, pooling. `pool_first` has the reordering that transfergrid uses (the same function)."""
    tail = [torch.nn.MaxPool2d(2), torch.nn.ReLU()] if pool_first else [torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, padding=1), *tail, torch.nn.Conv2d(32, 64, 3, padding=1), *tail,
        torch.nn.Flatten(), torch.nn.Linear(64 * 8 * 8, 6),
    ).to(memory_format=torch.channels_last)


parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--stages", type=int, required=True)
parser.add_argument("--pool-first", action="store_true")
args = parser.parse_args()
torch.set_num_threads(args.threads)
images, labels = read([f"data_batch_{i}.bin" for i in range(1, 6)])
test_images, test_labels = read(["test_batch.bin"])

seconds, accuracies = 0.0, []
for stage in range(args.stages):
    torch.manual_seed(stage)
    rows = torch.cat([torch.nonzero(labels == c).squeeze(1)[torch.randperm(5000)[:PER_CLASS]] for c in range(6)])
    x, y = images[rows].float() / 255, labels[rows]
    mean, sd = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    x = ((x - mean) / sd).contiguous(memory_format=torch.channels_last)
    net = model(args.pool_first)
    optimiser = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, weight_decay=LAMBDAS[stage % 4], foreach=True)
    steps = -(-len(y) // BATCH) * EPOCHS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y)).split(BATCH):
            loss = F.cross_entropy(net(x[batch]), y[batch])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        right = sum((net((part.float() / 255 - mean) / sd).argmax(1) == t).sum().item() for part, t in zip(test_images.split(250), test_labels.split(250)))
    seconds += time.perf_counter() - start
    accuracies.append(right / len(test_labels))
print(json.dumps({"images_per_second": args.stages * PER_CLASS * 6 * EPOCHS / seconds, "test_accuracy": sum(accuracies) / len(accuracies)}))
