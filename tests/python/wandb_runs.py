#!/usr/bin/env python3
"""Reads offline runs with the reader of wandb's own client and prints them as JSON; called by tests/suite/models.rs."""
import json
import pathlib
import sys

from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import LEVELDBLOG_BLOCK_LEN, DataStore

runs = {}
for file in pathlib.Path(sys.argv[1]).glob("offline-run-*/run-*.wandb"):
    log = DataStore()
    log.open_for_scan(str(file))
    read = {"epoch.val_acc": [], "blocks": file.stat().st_size // LEVELDBLOG_BLOCK_LEN + 1}
    while (data := log.scan_data()) is not None:
        record = Record.FromString(data)
        named = lambda items: {".".join(item.nested_key): json.loads(item.value_json) for item in items}
        match record.WhichOneof("record_type"):
            case "run":
                run = record.run
                assert run.run_id in file.name and run.run_id in file.parent.name
                read |= {"project": run.project, "group": run.run_group, "job_type": run.job_type, "name": run.display_name}
                read["config"] = named(run.config.update)
            case "history":
                row = named(record.history.item)
                assert row["_step"] == record.history.step.num
                # A source may have more epochs than its target.
                read["epoch.val_acc"] += [row[name] for name in ["epoch.val_acc"] if name in row]
            case "summary":
                read["summary"] = named(record.summary.update)
            case "exit":
                read["exit"] = record.exit.exit_code
    runs[read["config"]["key"]] = read
print(json.dumps(runs))
