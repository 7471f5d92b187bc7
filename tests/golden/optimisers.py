#!/usr/bin/env python3
"""Golden numbers for tests/suite/golden_optimisers.rs: 50 steps of torch.optim's SGD, Adam and AdamW in float64, PyTorch 2.11.

usage: python tests/golden/optimisers.py > src/run/engine/torch/proof/optimisers.json

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


def make(parameters, case):
    decay = 0.0 if case["anchored"] else case["lambda"]
    if case["optimiser"] == "sgd":
        return torch.optim.SGD(parameters, lr=case["lr"], momentum=case["momentum"], nesterov=case["nesterov"], weight_decay=decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[case["optimiser"]]
    return kind(parameters, lr=case["lr"], betas=case["betas"], eps=case["epsilon"], weight_decay=decay)


def run(model, case):
    lam, anchored, decoupled = case["lambda"], case["anchored"], case["optimiser"] == "adamw"
    parameters = list(model.parameters())
    with torch.no_grad():
        for p, value in zip(parameters, fill(parameters, 0.7, 1.0)):
            p.copy_(value)
    anchor = fill(parameters, 1.3, 2.0)
    x, y = images(model.channels), torch.arange(B) % CLASSES
    optimiser = make(parameters, case)
    losses = []
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        if case["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(parameters, case["clip_norm"])
        if anchored:
            with torch.no_grad():
                for p, a in zip(parameters, anchor):
                    if decoupled:
                        p -= case["lr"] * lam * (p - a)
                    else:
                        p.grad += lam * (p - a)
        optimiser.step()
    theta = torch.cat([p.detach().reshape(-1) for p in parameters])
    return {"losses": losses, "theta": theta[:: max(1, len(theta) // 40)].tolist(), "norm": theta.norm().item()}


cases = []
MODELS = [("mlp", Mlp), ("none", lambda: Conv("none")), ("batch", lambda: Conv("batch")), ("group", lambda: Conv("group"))]
for name, model in MODELS:
    for lam, anchored, momentum, nesterov in [(0.0, False, 0.0, False), (0.03, False, 0.9, False), (0.03, False, 0.9, True), (0.2, True, 0.9, False), (0.2, True, 0.5, True)]:
        case = {"model": name, "optimiser": "sgd", "lambda": lam, "anchored": anchored, "momentum": momentum, "nesterov": nesterov, "lr": 0.05, "clip_norm": None}
        cases.append(case | run(model(), case))
    for optimiser in ["adam", "adamw"]:
        for lam, anchored, betas, clip in [(0.0, False, (0.9, 0.999), None), (0.3, False, (0.8, 0.99), None), (2.0, True, (0.9, 0.999), None), (0.3, True, (0.9, 0.98), 0.05)]:
            case = {"model": name, "optimiser": optimiser, "lambda": lam, "anchored": anchored, "betas": betas, "epsilon": 1e-8 if clip is None else 1e-3, "lr": 0.01, "clip_norm": clip}
            cases.append(case | run(model(), case))
    case = {"model": name, "optimiser": "sgd", "lambda": 0.03, "anchored": False, "momentum": 0.9, "nesterov": False, "lr": 0.05, "clip_norm": 0.1}
    cases.append(case | run(model(), case))
print(json.dumps({"torch": torch.__version__, "cases": cases}))
