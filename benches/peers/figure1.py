#!/usr/bin/env python3
"""The whole of Figure 1 in NumPy: one eigh a draw serves all λ and all ρ, averaged exactly over the noise. Prints one line of JSON.

usage: figure1.py DRAWS     (set OMP_NUM_THREADS=1 and the like outside)
The same settings, grid, interpolation of the minimum and standard errors as benches/ridge.rs.
"""
import json
import sys
import time

import numpy as np

draws, p = int(sys.argv[1]), 400
rhos, grid = 0.5 + 0.05 * np.arange(21), 2 * 2000 ** (np.arange(41) / 40)
rng = np.random.default_rng(1)


def argmin(curves):
    """log λ of the minimum of the mean curve, and each draw's influence, by the quartic through five points."""
    mean = curves.mean(0)
    best = int(mean.argmin())
    if best in (0, len(grid) - 1):
        return None
    first = min(max(best - 2, 0), len(grid) - 5)
    u = np.log(grid[first:first + 5])
    u0 = u[0]
    inverse = np.linalg.inv(np.vander(u - u0, increasing=True))
    c = curves[:, first:first + 5] @ inverse.T
    m = c.mean(0)
    slope = np.polynomial.Polynomial(m).deriv()
    a, b = np.log(grid[best - 1]) - u0, np.log(grid[best + 1]) - u0
    for _ in range(80):
        middle = (a + b) / 2
        a, b = (middle, b) if slope(middle) < 0 else (a, middle)
    at = (a + b) / 2
    d = (c[:, 1:] * np.arange(1, 5)) @ at ** np.arange(4)
    return at + u0, -d / slope.deriv()(at)


started = time.perf_counter()
worst, ratios = 0.0, []
for gamma, noise in [(2.0, 0.5), (2.0, 0.1), (0.5, 0.5)]:
    n = int(p / gamma)
    source, inner = np.empty((draws, len(grid))), np.empty((draws, len(grid)))
    w0 = np.full(p, p ** -0.5)
    for d in range(draws):
        x = rng.standard_normal((n, p))
        if n < p:  # the smaller Gram matrix has all that matters
            s, v = np.linalg.eigh(x @ x.T)
            a2 = (v.T @ (x @ w0)) ** 2 / s
        else:
            s, v = np.linalg.eigh(x.T @ x)
            a2 = (v.T @ w0) ** 2
        keep = s[:, None] / (s[:, None] + grid)
        along = a2 @ keep  # ⟨E β̂₀, w₀⟩
        bias = 1 - 2 * along + a2 @ keep ** 2
        source[d] = bias + noise * np.sum(s[:, None] / (s[:, None] + grid) ** 2, 0)
        inner[d] = along
    s_best, s_influence = argmin(source)
    for rho in rhos:
        # ‖β̂₀ − ρw₀‖² = ‖β̂₀ − w₀‖² + 2(1 − ρ)⟨β̂₀, w₀⟩ + ρ² − 1
        found = argmin(source + 2 * (1 - rho) * inner + rho ** 2 - 1)
        if found is None:
            continue
        ratio, shares = np.exp(found[0] - s_best), found[1] - s_influence
        if ratio > 0.1:
            worst = max(worst, shares.std(ddof=1) / draws ** 0.5)
        ratios.append(float(ratio))
print(json.dumps({"seconds": time.perf_counter() - started, "largest_error": float(worst), "ratios": ratios}))
