#!/usr/bin/env python3
"""JAX: vmap over models, scan over the steps of all epochs, the whole training one compiled call. `seconds` is of a second call, when
nothing is compiled any more; `compile` is what the first call took beyond that."""
import tasks  # first: its clock starts before the imports
import os
import time

import numpy as np

args = tasks.arguments()
os.environ.setdefault("JAX_PLATFORMS", "cpu" if args.device == "cpu" else "cuda")
import jax
import jax.numpy as jnp

jax.config.update("jax_default_matmul_precision", "highest")  # float32 means float32 on GPUs too

(images, labels), (test_images, test_labels) = tasks.read(args.task)
classes, K = len(tasks.TASKS[args.task][0]), args.models
rows = [tasks.subset(labels, args.task, k // len(tasks.LAMBDAS)) for k in range(K)]
x = np.stack([images[r] for r in rows]).astype(np.float32) / 255
y = jnp.asarray(np.stack([labels[r] for r in rows]))
mean, sd = x.mean((1, 2, 3), keepdims=True), x.std((1, 2, 3), keepdims=True)
x = jnp.asarray((x - mean) / sd)
kind = jnp.bfloat16 if args.bf16 else jnp.float32
sizes = [28 * 28, *tasks.HIDDEN, classes]


def initial(key):
    keys = iter(jax.random.split(key, 16))
    uniform = lambda shape, fan_in: jax.random.uniform(next(keys), shape, minval=-fan_in**-0.5, maxval=fan_in**-0.5)
    if args.task == "mnist":
        return [(uniform((i, o), i), uniform((o,), i)) for i, o in zip(sizes, sizes[1:])]
    channels = [3, *tasks.CHANNELS]
    layers = [(uniform((3, 3, i, o), 9 * i), uniform((o,), 9 * i)) for i, o in zip(channels, channels[1:])]
    features = channels[-1] * 64
    return layers + [(uniform((features, classes), features), uniform((classes,), features))]


def forward(theta, x):
    x = x.astype(kind)
    cast = [(w.astype(kind), b.astype(kind)) for w, b in theta]
    if args.task == "mnist":
        x = x.reshape(x.shape[0], -1)
        for w, b in cast[:-1]:
            x = jax.nn.relu(x @ w + b)
    else:
        for w, b in cast[:-1]:
            x = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b
            x = jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.reshape(x.shape[0], -1)
    w, b = cast[-1]
    return (x @ w + b).astype(jnp.float32)


def loss(theta, x, y, weights):
    each = -jnp.take_along_axis(jax.nn.log_softmax(forward(theta, x)), y[:, None], 1)[:, 0]
    return (each * weights).sum() / weights.sum()


n = y.shape[1]
per_epoch = -(-n // tasks.BATCH)
total = per_epoch * args.epochs


def train(key, lam, x, y):
    theta = initial(key)
    velocity = jax.tree.map(jnp.zeros_like, theta)
    orders = jax.vmap(lambda k: jax.random.permutation(k, n))(jax.random.split(key, args.epochs))
    # The last batch of an epoch is filled up; what fills it weighs nothing.
    orders = jnp.pad(orders, ((0, 0), (0, per_epoch * tasks.BATCH - n)), constant_values=-1).reshape(total, tasks.BATCH)

    def step(state, at):
        theta, velocity = state
        t, rows = at
        weights = (rows >= 0).astype(jnp.float32)
        g = jax.grad(loss)(theta, x[rows], y[rows], weights)
        lr = tasks.LR * 0.5 * (1 + jnp.cos(jnp.pi * t / total))
        velocity = jax.tree.map(lambda v, g, p: tasks.MOMENTUM * v + g + lam * p, velocity, g, theta)
        return (jax.tree.map(lambda p, v: p - lr * v, theta, velocity), velocity), None

    (theta, _), _ = jax.lax.scan(step, (theta, velocity), (jnp.arange(total), orders))
    return theta


def test(theta, mean, sd, parts, targets):
    """Right answers, in chunks of 250 images."""
    def chunk(right, at):
        part, target = at
        return right + (forward(theta, (part.astype(jnp.float32) / 255 - mean[0]) / sd[0]).argmax(1) == target).sum(), None
    return jax.lax.scan(chunk, 0, (parts, targets))[0]


@jax.jit
def all_of_it(keys, lambdas, x, y, mean, sd, parts, targets):
    theta = jax.vmap(train)(keys, lambdas, x, y)
    return jax.vmap(test, in_axes=(0, 0, 0, None, None))(theta, mean, sd, parts, targets)


whole = len(test_labels) // 250 * 250
parts, targets = jnp.asarray(test_images[:whole].reshape(-1, 250, *test_images.shape[1:])), jnp.asarray(test_labels[:whole].reshape(-1, 250))
keys = jax.vmap(jax.random.key)(jnp.arange(K))
lambdas = jnp.asarray([tasks.LAMBDAS[k % 4] for k in range(K)])
call = lambda: jax.block_until_ready(all_of_it(keys, lambdas, x, y, jnp.asarray(mean), jnp.asarray(sd), parts, targets))
start = time.perf_counter()
right = call()
first = time.perf_counter() - start
whole_process = time.perf_counter() - tasks.STARTED  # what a user waits for: one call, compiled on the way
start = time.perf_counter()
call()
seconds = time.perf_counter() - start
tasks.report(args, seconds, np.asarray(right) / whole, whole=whole_process, compile=first - seconds)
