#!/usr/bin/env python3
"""Golden numbers for tests/golden_sgd.rs: 50 steps of torch.optim.SGD in float64, PyTorch 2.11.

usage: python tests/golden/sgd.py > src/run/engine/torch/proof/sgd.json

Everything comes from formulas that the test repeats: parameter j of θ (in the order of the layout) starts at
0.3·sin(0.7·j + 1), the anchor is 0.3·sin(1.3·j + 2), pixel i of an image is (7919·i) mod 256, image b has label b mod classes.
"""
import json
import torch

torch.set_default_dtype(torch.float64)
H = W = 8
B, CLASSES, STEPS = 12, 4, 50


def images(channels):
    n = B * H * W * channels
    pixels = torch.tensor([(7919 * i) % 256 for i in range(n)], dtype=torch.float64).reshape(B, H, W, channels)
    return pixels / 127.5 - 1.0  # mean ½ and sd ½ of pixel/255


class Mlp(torch.nn.Module):
    channels = 1

    def __init__(self):
        super().__init__()
        self.hidden1 = torch.nn.Linear(H * W, 10)
        self.head = torch.nn.Linear(10, CLASSES)

    def forward(self, x):
        return self.head(self.hidden1(x.reshape(B, -1)).relu())


class Conv(torch.nn.Module):
    channels = 3

    def __init__(self, norm):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.norm1 = {"none": torch.nn.Identity(), "batch": torch.nn.BatchNorm2d(4), "group": torch.nn.GroupNorm(2, 4)}[norm]
        self.conv2 = torch.nn.Conv2d(4, 6, 3, padding=1)
        self.norm2 = {"none": torch.nn.Identity(), "batch": torch.nn.BatchNorm2d(6), "group": torch.nn.GroupNorm(2, 6)}[norm]
        self.head = torch.nn.Linear(6 * 2 * 2, CLASSES)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = torch.nn.functional.max_pool2d(self.norm1(self.conv1(x)).relu(), 2)
        x = torch.nn.functional.max_pool2d(self.norm2(self.conv2(x)).relu(), 2)
        return self.head(x.reshape(B, -1))


def fill(parameters, rate, shift):
    j = 0
    out = []
    for p in parameters:
        n = p.numel()
        out.append((0.3 * torch.sin(rate * torch.arange(j, j + n) + shift)).reshape(p.shape))
        j += n
    return out


def run(model, lam, anchored, momentum, nesterov, lr):
    parameters = list(model.parameters())
    with torch.no_grad():
        for p, value in zip(parameters, fill(parameters, 0.7, 1.0)):
            p.copy_(value)
    anchor = fill(parameters, 1.3, 2.0)
    x, y = images(model.channels), torch.arange(B) % CLASSES
    optimiser = torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=0.0 if anchored else lam)
    losses = []
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        total = loss
        if anchored:
            total = loss + 0.5 * lam * sum(((p - a) ** 2).sum() for p, a in zip(parameters, anchor))
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    theta = torch.cat([p.detach().reshape(-1) for p in parameters])
    return {"losses": losses, "theta": theta[:: max(1, len(theta) // 40)].tolist(), "norm": theta.norm().item()}


cases = []
for name, make in [("mlp", Mlp), ("none", lambda: Conv("none")), ("batch", lambda: Conv("batch")), ("group", lambda: Conv("group"))]:
    for lam, anchored, momentum, nesterov in [(0.0, False, 0.0, False), (0.03, False, 0.9, False), (0.03, False, 0.9, True), (0.2, True, 0.9, False), (0.2, True, 0.5, True)]:
        case = {"model": name, "lambda": lam, "anchored": anchored, "momentum": momentum, "nesterov": nesterov, "lr": 0.05}
        cases.append(case | run(make(), lam, anchored, momentum, nesterov, 0.05))
print(json.dumps({"torch": torch.__version__, "cases": cases}))
