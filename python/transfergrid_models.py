"""Loads a model that `transfergrid export` wrote: `model, config = load(FOLDER)`.

The model takes float32 [N, C, H, W] (or rows of features) after (x - mean) / sd with the numbers of
config["input"]; pixels are divided by 255 before. Needs PyTorch alone.
"""
import json
from collections import OrderedDict
from pathlib import Path
import torch
from torch import nn

def read(path):
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    head = {name: of for name, of in json.loads(data[8:start]).items() if name != "__metadata__"}
    part = lambda first, last: torch.frombuffer(bytearray(data[start + first : start + last]), dtype=torch.float32)
    return {name: part(*of["data_offsets"]).reshape(of["shape"]) for name, of in head.items()}

def norm(a, width, images=True):
    return nn.GroupNorm(a["groups"], width) if a["norm"] == "group" else (nn.BatchNorm2d if images else nn.BatchNorm1d)(width)

def sequential(config):
    a, i, parts = config["architecture"], config["input"], OrderedDict()
    width, (h, w) = i["channels"], (i["height"], i["width"])
    for n, out in enumerate(a["channels"], 1):
        parts[f"conv{n}"] = nn.Conv2d(width, out, 3, padding=1)
        parts.update({f"norm{n}": norm(a, out)} if a["norm"] != "none" else {})
        parts[f"relu{n}"], parts[f"pool{n}"] = nn.ReLU(), nn.MaxPool2d(2)
        width, h, w = out, h // 2, w // 2
    parts["flatten"], width = nn.Flatten(), width * h * w
    if a["embedding"]:
        parts["embedding"], width = nn.Linear(width, a["embedding"], bias=False), a["embedding"]
    for n, out in enumerate(a["hidden"], 1):
        parts[f"hidden{n}"], width = nn.Linear(width, out), out
        parts.update({f"hidden_norm{n}": norm(a, out, False)} if a["norm"] != "none" else {})
        parts[f"hidden_relu{n}"] = nn.ReLU()
    return nn.Sequential(parts | {"head": nn.Linear(width, config["outputs"])})

class Residual(nn.Module):
    def __init__(self, a, width, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, out, 3, stride, 1, bias=False), norm(a, out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), norm(a, out)
        self.stride, self.more, self.downsample = stride, out - width, None
        if a["kind"] == "resnet18" and (stride > 1 or width != out):
            self.downsample = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), norm(a, out))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        plain = lambda x: nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return (y + (self.downsample or plain)(x)).relu()

def resnet(config):
    a, width = config["architecture"], config["architecture"]["channels"][0]
    stem = (7, 2, 3) if a["stem"] == "imagenet" else (3, 1, 1)
    parts = OrderedDict(conv1=nn.Conv2d(config["input"]["channels"], width, *stem, bias=False), bn1=norm(a, width), relu=nn.ReLU())
    parts.update({"maxpool": nn.MaxPool2d(3, 2, 1)} if a["stem"] == "imagenet" else {})
    for n, out in enumerate(a["channels"], 1):
        depth = {"resnet18": 2, "resnet20": 3, "resnet32": 5, "resnet56": 9}[a["kind"]]
        blocks = [Residual(a, out if b else width, out, 2 if n > 1 and b == 0 else 1) for b in range(depth)]
        parts[f"layer{n}"], width = nn.Sequential(*blocks), out
    return nn.Sequential(parts | OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(width, config["outputs"])))

class Vit(nn.Module):
    def __init__(self, config):
        super().__init__()
        t, i = config["architecture"]["transformer"], config["input"]
        layer = lambda: nn.TransformerEncoderLayer(t["width"], t["heads"], 4 * t["width"], 0.0, "gelu", batch_first=True, norm_first=True)
        self.patches = nn.Conv2d(i["channels"], t["width"], t["patch"], t["patch"])
        self.class_token = nn.Parameter(torch.zeros(t["width"]))
        self.positions = nn.Parameter(torch.zeros(i["height"] * i["width"] // t["patch"] ** 2 + 1, t["width"]))
        self.layers, self.norm = nn.ModuleList(layer() for _ in range(t["depth"])), nn.LayerNorm(t["width"])
        self.head = nn.Linear(t["width"], config["outputs"])

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x[:, 0]))

def module(folder, found):
    model = torch.jit.load(str(folder / "module.pt"), map_location="cpu")
    for name, own in model.named_parameters():
        own.data = found[name]
    for name, own in model.named_buffers():
        own.data = found[name].reshape(own.shape) if name in found else own.data
    return model

def load(folder):
    folder = Path(folder)
    config, found = json.loads((folder / "config.json").read_text()), read(folder / "model.safetensors")
    kind = config["architecture"]["kind"]
    if kind == "torchscript":
        return module(folder, found).eval(), config
    model = (Vit if kind == "vit" else resnet if kind.startswith("resnet") else sequential)(config)
    keys = model.load_state_dict(found, strict=False)
    assert not keys.unexpected_keys and all(name.endswith("num_batches_tracked") for name in keys.missing_keys), keys
    return model.eval(), config
