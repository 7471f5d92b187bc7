#!/usr/bin/env python3
"""‖β̂(λ) − w‖² for 50 λ from x.npy, y.npy, w.npy, lambdas.npy in FOLDER, one way. Prints one line of JSON.

usage: ridge_path.py FOLDER sklearn-loop|sklearn-svd|numpy-eigh     (set OMP_NUM_THREADS=1 and the like outside)
"""
import json
import sys
import time

import numpy as np

folder, way = sys.argv[1:]
x, y, w, lambdas = (np.load(f"{folder}/{name}.npy") for name in ["x", "y", "w", "lambdas"])
if way.startswith("sklearn"):
    from sklearn.linear_model import Ridge, ridge_regression

started = time.perf_counter()
if way == "sklearn-loop":
    risks = [np.sum((Ridge(alpha=l, fit_intercept=False).fit(x, y).coef_ - w) ** 2) for l in lambdas]
elif way == "sklearn-svd":
    # One decomposition for all λ: the response repeated, one penalty for each copy.
    beta = ridge_regression(x, np.tile(y[:, None], (1, len(lambdas))), alpha=lambdas, solver="svd")
    risks = np.sum((beta - w) ** 2, axis=1)
else:
    s, v = np.linalg.eigh(x.T @ x)
    c, a = v.T @ (x.T @ y), v.T @ w
    risks = [np.sum((c / (s + l) - a) ** 2) for l in lambdas]
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "risks": [float(r) for r in risks]}))
