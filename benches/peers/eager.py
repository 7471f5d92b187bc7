#!/usr/bin/env python3
"""A plain PyTorch loop, one model after another, as one would write it today: channels_last, the data in memory, on the device."""
import tasks  # first: its clock starts before the imports
import numpy as np
import torch
import torch.nn.functional as F

torch.backends.cudnn.allow_tf32 = False  # float32 means float32, as in transfergrid


def network(task, classes):
    if task == "mnist":
        sizes = [784, *tasks.HIDDEN]
        layers = [part for i, o in zip(sizes, sizes[1:]) for part in (torch.nn.Linear(i, o), torch.nn.ReLU())]
        return torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Linear(sizes[-1], classes))
    sizes = [3, *tasks.CHANNELS]
    layers = [part for i, o in zip(sizes, sizes[1:]) for part in (torch.nn.Conv2d(i, o, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2))]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(sizes[-1] * 64, classes)).to(memory_format=torch.channels_last)


def train(args, seed, images, labels, test_images, test_labels):
    """Seconds of training and testing, and test accuracy."""
    import time
    torch.manual_seed(seed)
    rows = tasks.subset(labels, args.task, seed // len(tasks.LAMBDAS))
    pixels = torch.from_numpy(images[rows]).to(args.device).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(labels[rows]).to(args.device)
    mean, sd = pixels.mean((0, 2, 3), keepdim=True), pixels.std((0, 2, 3), keepdim=True)
    x = ((pixels - mean) / sd).contiguous(memory_format=torch.channels_last)
    net = network(args.task, len(tasks.TASKS[args.task][0])).to(args.device)
    # A captured step reads the learning rate from the device.
    how = dict(lr=torch.tensor(tasks.LR, device=args.device), fused=True) if args.graph else dict(lr=tasks.LR, foreach=True)
    optimiser = torch.optim.SGD(net.parameters(), momentum=tasks.MOMENTUM, weight_decay=tasks.LAMBDAS[seed % 4], **how)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, -(-len(y) // tasks.BATCH) * args.epochs)
    autocast = torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=args.bf16)
    def step(batch):
        with autocast:
            loss = F.cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        optimiser.step()

    if args.graph:
        step = captured(step, net, optimiser, y)
    if args.device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(args.epochs):
        for batch in torch.randperm(len(y), device=args.device).split(tasks.BATCH):
            if not args.graph:
                optimiser.zero_grad(set_to_none=True)
            step(batch)
            schedule.step()
    right = 0
    with torch.no_grad(), autocast:
        for part, t in zip(test_images.split(250), test_labels.split(250)):
            right += (net((part.permute(0, 3, 1, 2).float() / 255 - mean) / sd).argmax(1) == t).sum().item()
    return time.perf_counter() - start, right / len(test_labels)


def captured(step, net, optimiser, y):
    """The step as a CUDA graph for full batches; a smaller last batch goes the plain way. The warm-up's steps are
    undone."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rows = torch.arange(tasks.BATCH, device=y.device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimiser.zero_grad(set_to_none=True)
            step(rows)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimiser.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        step(rows)
    net.load_state_dict(before)
    for state in optimiser.state.values():
        state["momentum_buffer"].zero_()

    def replay(batch):
        if len(batch) == tasks.BATCH:
            rows.copy_(batch)
            graph.replay()
        else:
            for parameter in net.parameters():
                parameter.grad.zero_()  # in place: the graph writes into these
            step(batch)

    return replay


def main():
    args = tasks.arguments(threads=dict(type=int, default=0), first=dict(type=int, default=0), graph=dict(action="store_true"))
    if args.threads:
        torch.set_num_threads(args.threads)
    (images, labels), test = tasks.read(args.task)
    test = [torch.from_numpy(part).to(args.device) for part in test]
    done = [train(args, seed, images, labels, *test) for seed in range(args.first, args.first + args.models)]
    tasks.report(args, sum(seconds for seconds, _ in done), [accuracy for _, accuracy in done])


if __name__ == "__main__":
    main()
