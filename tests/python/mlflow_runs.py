#!/usr/bin/env python3
"""Reads runs with MLflow's own reader and prints them as JSON; called by tests/suite/models.rs."""
import json
import os
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
from mlflow.tracking import MlflowClient

client = MlflowClient(tracking_uri=f"file:{sys.argv[1]}")
(experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
runs = client.search_runs([experiment.experiment_id], max_results=1000)
by_key = {}
for run in runs:
    curve = client.get_metric_history(run.info.run_id, "epoch.val_acc")
    by_key[run.data.tags["key"]] = {
        "params": run.data.params,
        "metrics": run.data.metrics,
        "epoch.val_acc": [point.value for point in sorted(curve, key=lambda point: point.step)],
        "status": run.info.status,
    }
print(json.dumps({"experiment": experiment.name, "runs": len(runs), "by_key": by_key}))
