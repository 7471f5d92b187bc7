#!/usr/bin/env python3
"""Weights and checks that need PyTorch and torchvision; called by tests/suite/pytorch.rs.

usage: pytorch.py make FOLDER            images.npz, weights and files that are wrong in one way each, expected.json
       pytorch.py check IMAGES MODEL…    exported models on the test images: loss, accuracy, logits
       pytorch.py jitter                 two images after torchvision's changes of colours
       pytorch.py photos FOLDER          what docs/networks.md works on
"""
import json
import pickle
import sys
from pathlib import Path

import numpy
import torch
import torchvision

MEAN, SD, CLASSES = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3], 4


def images(n, seed):
    """Noise around a colour and a gradient for each class."""
    rng = numpy.random.default_rng(seed)
    y = numpy.arange(n) % CLASSES
    ramp = numpy.linspace(-60, 60, 32)
    x = 128 + 40 * rng.standard_normal((n, 32, 32, 3))
    x[..., 0] += (y[:, None, None] % 2) * ramp[None, :, None]
    x[..., 1] += (y[:, None, None] // 2) * ramp[None, None, :]
    return x.clip(0, 255).astype(numpy.uint8), y


def result(model, x, y):
    with torch.no_grad():
        logits = model.double()(x.double())
    loss = torch.nn.functional.cross_entropy(logits, y).item()
    return {"loss": loss, "accuracy": (logits.argmax(1) == y).double().mean().item(), "logits": logits[:5].tolist()}


def inputs(x, mean, sd):
    of = lambda values: torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1)
    return (torch.tensor(x).permute(0, 3, 1, 2).double() / 255 - of(mean)) / of(sd)


class Code:
    def __reduce__(self):
        return (eval, ("open('it-ran', 'w')",))


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (x_train, y_train), (x_test, y_test) = images(80, 1), images(40, 2)
    numpy.savez(folder / "images.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=CLASSES)
    for module in model.modules():  # statistics that are not those of a fresh network
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    model.eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save = lambda name, value: torch.save(value, folder / name)
    save("whole.pt", state)
    save("nested.pt", {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}})
    save("other-head.pt", state | {"fc.weight": torch.zeros(9, 512), "fc.bias": torch.zeros(9)})
    save("more.pt", state | {"layer1.2.conv1.weight": torch.zeros(2)})
    itself = {}
    itself["model"] = itself
    save("itself.pt", itself)
    save("half.pt", {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()})
    save("transposed.pt", state | {"conv1.weight": state["conv1.weight"].permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)})
    save("missing.pt", {name: tensor for name, tensor in state.items() if name != "layer3.1.bn2.running_var"})
    save("misshapen.pt", state | {"layer1.0.conv1.weight": torch.zeros(64, 32, 3, 3)})
    save("nan.pt", state | {"bn1.bias": torch.full((64,), float("nan"))})
    save("code.pt", {"state_dict": state, "hook": Code()})
    save("complex.pt", state | {"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.complex64)})
    save("empty.pt", {})
    torch.jit.script(model).save(folder / "script.pt")
    modules(folder)
    (folder / "old.pkl").write_bytes(pickle.dumps({"a": 1}))
    (folder / "cut.pt").write_bytes((folder / "whole.pt").read_bytes()[:100000])
    (folder / "text.pt").write_text("weights")
    expected = result(model, inputs(x_test, MEAN, SD), torch.tensor(y_test))
    (folder / "expected.json").write_text(json.dumps(expected))


def jitter():
    """torchvision's colours of two images, by the factors that the test names."""
    from torchvision.transforms import functional as F

    x = torch.tensor([(7919 * i) % 256 for i in range(2 * 4 * 5 * 3)], dtype=torch.float64).reshape(2, 4, 5, 3) / 255
    out = []
    for image, (brightness, contrast, saturation) in zip(x.permute(0, 3, 1, 2), [(0.7, 1.3, 0.6), (1.4, 0.5, 1.8)]):
        image = F.adjust_brightness(image, brightness)
        image = F.adjust_contrast(image, contrast)
        out.append(F.adjust_saturation(image, saturation).permute(1, 2, 0))
    print(json.dumps(torch.stack(out).reshape(-1).tolist()))


def photos(folder):
    """Four classes of small pictures, and weights of a ResNet-18, for docs/networks.md."""
    from PIL import Image

    rng = numpy.random.default_rng(3)
    for k, name in enumerate(["cats", "dogs", "hens", "owls"]):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            noise = rng.integers(0, 60, (24, 24, 3)) + 40 * numpy.array([k == 0, k == 1, k == 2])
            Image.fromarray(noise.astype(numpy.uint8)).save(folder / name / f"{i}.png")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), folder.parent / "resnet18.pt")


class Attention(torch.nn.Module):
    """Drops attention weights."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3072, CLASSES)

    def forward(self, x):
        y = x.flatten(1).unsqueeze(1)
        return self.fc(torch.nn.functional.scaled_dot_product_attention(y, y, y, dropout_p=0.3).squeeze(1))


class Heads(torch.nn.Module):
    """PyTorch's own attention, which has dropout of probability 0."""

    def __init__(self):
        super().__init__()
        self.heads = torch.nn.MultiheadAttention(96, 2, batch_first=True)
        self.fc = torch.nn.Linear(3072, CLASSES)

    def forward(self, x):
        y = x.reshape(-1, 32, 96)
        return self.fc(self.heads(y, y, y)[0].flatten(1))


class Changes(torch.nn.Module):
    """Changes an attribute."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3072, CLASSES)
        self.register_buffer("mean", torch.zeros(3072))

    def forward(self, x):
        y = x.flatten(1)
        self.mean = 0.9 * self.mean + 0.1 * y.mean(0)
        return self.fc(y - self.mean)


class Unused(torch.nn.Module):
    """Has a layer that it does not use."""

    def __init__(self):
        super().__init__()
        self.fc, self.other = torch.nn.Linear(3072, CLASSES), torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Two(torch.nn.Module):
    """Returns no tensor."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3072, CLASSES)

    def forward(self, x):
        y = self.fc(x.flatten(1))
        return y, y


def modules(folder):
    """TorchScript modules: the ConvNet of this program, and ones that cannot be used."""
    torch.manual_seed(1)
    nn, parts, width = torch.nn, {}, 3
    for n, out in enumerate([4, 8], 1):
        parts |= {f"conv{n}": nn.Conv2d(width, out, 3, padding=1), f"norm{n}": nn.BatchNorm2d(out), f"relu{n}": nn.ReLU(), f"pool{n}": nn.MaxPool2d(2)}
        width = out
    from collections import OrderedDict

    net = nn.Sequential(OrderedDict(parts | {"flatten": nn.Flatten(), "head": nn.Linear(8 * 64, 7)}))
    save = lambda name, net: torch.jit.script(net).save(folder / name)
    save("net.pt", net)
    torch.jit.trace(net.eval(), torch.zeros(2, 3, 32, 32)).save(folder / "traced.pt")
    save("dropout.pt", nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3072, CLASSES)))
    save("no-dropout.pt", nn.Sequential(OrderedDict(flatten=nn.Flatten(), drop=nn.Dropout(0.0), fc=nn.Linear(3072, CLASSES))))
    save("narrow.pt", nn.Sequential(OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(10, CLASSES))))
    save("no-classes.pt", nn.Sequential(OrderedDict(fc=nn.Conv2d(3, CLASSES, 1))))
    save("double.pt", nn.Sequential(OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(3072, CLASSES))).double())
    save("two.pt", Two())
    save("attention.pt", Attention())
    save("changes.pt", Changes())
    save("heads.pt", Heads())
    save("unused.pt", Unused())
    tied = OrderedDict(flatten=nn.Flatten(), a=nn.Linear(3072, 8), b=nn.Linear(8, 8), c=nn.Linear(8, 8), fc=nn.Linear(8, CLASSES))
    tied["c"].weight = tied["b"].weight
    save("tied.pt", nn.Sequential(tied))
    save("counts.pt", nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(3, momentum=None), flatten=nn.Flatten(), fc=nn.Linear(3072, CLASSES))))
    dropped = nn.Sequential(OrderedDict(flatten=nn.Flatten(), drop=nn.Dropout(0.5), fc=nn.Linear(3072, CLASSES)))
    torch.jit.trace(dropped.eval(), torch.zeros(2, 3, 32, 32)).save(folder / "eval-dropout.pt")
    torch.jit.trace(net.train(), torch.zeros(2, 3, 32, 32), check_trace=False).save(folder / "trained.pt")


def check(file, *models):
    sys.path.insert(0, str(models[0]))
    from load import load  # every exported folder has the same one

    out = []
    data = numpy.load(file)
    for model in models:
        module, config = load(model)
        classes = [int(name) for name in config["classes"]]
        chosen = numpy.isin(data["y_test"], classes)
        y = torch.tensor([classes.index(label) for label in data["y_test"][chosen]])
        x = inputs(data["x_test"][chosen], config["input"]["mean"], config["input"]["sd"])
        names = [name for name, _ in module.named_parameters()]
        out.append(result(module, x, y) | {"metrics": config["metrics"], "parameters": names})
    print(json.dumps(out))


if __name__ == "__main__":
    {"make": make, "check": check, "jitter": jitter, "photos": photos}[sys.argv[1]](*map(Path, sys.argv[2:]))
