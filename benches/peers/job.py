#!/usr/bin/env python3
"""One cell of a small study as an independent job in a plain PyTorch loop: train the source at λ₀, fine-tune it on the target at λ₁
with L2-SP, test both; or, without --lambda0, train the target from scratch. Validation after every epoch, as a study does. float32."""
import tasks  # first: its clock starts before the imports
import argparse
import json
import time

import numpy as np
import torch
import torch.nn.functional as F

from eager import network

# As in the presets `small` of experiments/cifar10.yaml and mnist.yaml.
# labels, images a label, validation images a label, epochs, batch, lr
STUDIES = {
    "cifar10": {"source": ([2, 3, 4, 5, 6, 7], 1000, 200, 25, 128, 0.05), "target": ([0, 1, 8, 9], 25, 100, 30, 50, 0.02)},
    "mnist": {"source": ([0, 1, 2, 3, 4], 400, 200, 20, 128, 0.05), "target": ([5, 6, 7, 8, 9], 10, 100, 40, 50, 0.02)},
}


def split(labels, classes, per_class, validation, rng):
    picked = [rng.permutation(np.flatnonzero(labels == c))[: per_class + validation] for c in classes]
    return np.concatenate([p[:per_class] for p in picked]), np.concatenate([p[per_class:] for p in picked])


def tensors(images, labels, rows, classes, mean, sd):
    x = (torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float() / 255 - mean) / sd
    return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.searchsorted(classes, labels[rows]).astype(np.int64))


def evaluate(net, x, y):
    with torch.no_grad():
        return sum((net(a).argmax(1) == b).sum().item() for a, b in zip(x.split(250), y.split(250))) / len(y)


def train(net, anchor, lam, x, y, validation, epochs, batch, lr):
    """SGD with momentum on cross-entropy + λ/2 ‖θ_b − anchor‖²; no anchor: weight decay on everything."""
    decay = lam if anchor is None else 0.0
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=decay, foreach=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, -(-len(y) // batch) * epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(batch):
            loss = F.cross_entropy(net(x[rows]), y[rows])
            if anchor is not None and lam > 0:
                loss = loss + 0.5 * lam * sum(((p - a) ** 2).sum() for p, a in zip(net.parameters(), anchor))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        evaluate(net, *validation)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=STUDIES, required=True)
    parser.add_argument("--lambda0", type=float)
    parser.add_argument("--lambda1", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    tasks.TASKS[args.task] = (list(range(10)), 0)  # all ten classes
    (images, labels), (test_images, test_labels) = tasks.read(args.task)
    out, net, mean, sd = {}, None, None, None
    for phase in ("source", "target"):
        classes, per_class, validation, epochs, batch, lr = STUDIES[args.task][phase]
        rows, held = split(labels, classes, per_class, validation, rng)
        if mean is None:
            pixels = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float() / 255
            mean, sd = pixels.mean((0, 2, 3), keepdim=True), pixels.std((0, 2, 3), keepdim=True)
        if phase == "source" and args.lambda0 is None:
            continue
        old, net = net, network(args.task, len(classes))
        anchor = None
        if old is not None:
            net[:-1].load_state_dict(old[:-1].state_dict())
            anchor = [p.detach().clone() for p in net[:-1].parameters()]
        own = lambda r: tensors(images, labels, r, classes, mean, sd)
        train(net, anchor, args.lambda0 if phase == "source" else args.lambda1, *own(rows), own(held), epochs, batch, lr)
        test = np.flatnonzero(np.isin(test_labels, classes))
        out[f"{phase}_test_accuracy"] = evaluate(net, *tensors(test_images, test_labels, test, classes, mean, sd))
    print(json.dumps({**out, "whole": time.perf_counter() - tasks.STARTED}))


main()
