#!/usr/bin/env python3
"""torch.func ensembling (stack_module_state, vmap over grad): all models in one call, λ a vector over them; as PyTorch's tutorial on
model ensembling does it, with SGD written out over the stacked parameters."""
import tasks  # first: its clock starts before the imports
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from eager import network

args = tasks.arguments(threads=dict(type=int, default=0))
if args.threads:
    torch.set_num_threads(args.threads)
(images, labels), test = tasks.read(args.task)
classes = len(tasks.TASKS[args.task][0])
rows = [tasks.subset(labels, args.task, k // len(tasks.LAMBDAS)) for k in range(args.models)]
pixels = torch.from_numpy(np.stack([images[r] for r in rows])).to(args.device).permute(0, 1, 4, 2, 3).float() / 255
y = torch.from_numpy(np.stack([labels[r] for r in rows])).to(args.device)
mean, sd = pixels.mean((1, 3, 4), keepdim=True), pixels.std((1, 3, 4), keepdim=True)
x = (pixels - mean) / sd
del pixels
nets = []
for k in range(args.models):
    torch.manual_seed(k)
    nets.append(network(args.task, classes).to(args.device))
theta, _ = stack_module_state(nets)
theta = {name: p.detach() for name, p in theta.items()}
velocity = {name: torch.zeros_like(p) for name, p in theta.items()}
lambdas = torch.tensor([tasks.LAMBDAS[k % 4] for k in range(args.models)], device=args.device)
base = network(args.task, classes).to("meta")
autocast = torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=args.bf16)


def loss(p, x, y):
    return F.cross_entropy(functional_call(base, p, (x,)), y)


gradients = vmap(grad_and_value(loss))
n, steps = y.shape[1], -(-y.shape[1] // tasks.BATCH) * args.epochs
k = torch.arange(args.models, device=args.device).unsqueeze(1)
if args.device != "cpu":
    torch.cuda.synchronize()
start, step = time.perf_counter(), 0
for _ in range(args.epochs):
    order = torch.argsort(torch.rand(args.models, n, device=args.device), 1)
    for batch in order.split(tasks.BATCH, 1):
        with autocast:
            g, _ = gradients(theta, x[k, batch], y[k, batch])
        lr = tasks.LR * 0.5 * (1 + math.cos(math.pi * step / steps))
        for name, p in theta.items():
            pull = g[name] + lambdas.reshape([-1] + [1] * (p.dim() - 1)) * p
            velocity[name].mul_(tasks.MOMENTUM).add_(pull)
            p.sub_(velocity[name], alpha=lr)
        step += 1
right = torch.zeros(args.models, device=args.device)
evaluate = vmap(lambda p, x: functional_call(base, p, (x,)), in_dims=(0, 0))
with torch.no_grad(), autocast:
    for part, t in zip(*(torch.from_numpy(a).to(args.device).split(250) for a in test)):
        part = (part.permute(0, 3, 1, 2).float().unsqueeze(0) / 255 - mean) / sd
        right += (evaluate(theta, part).argmax(2) == t).sum(1)
accuracies = (right / len(test[1])).tolist()
tasks.report(args, time.perf_counter() - start, accuracies)
