#!/usr/bin/env python3
"""How long a report takes and how large its page is: mock studies of 1,000 and 10,000 records.

usage: python benches/report.py [--rounds 5] [--out FOLDER]
Needs target/release/transfergrid (`make bench-report`).
"""
import argparse
import pathlib
import shutil
import tempfile
import time

from common import BIN, machine, run, spread, versions, write
from overhead import STUDY


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    rows = []
    for seeds in (10, 100):
        folder = pathlib.Path(tempfile.mkdtemp())
        try:
            (folder / "noop.yaml").write_text(STUDY.format(seeds=seeds, lambda1=8))
            run([BIN, "sweep", folder / "noop.yaml", "--engine", "mock", "--quiet", "--out", folder])
            study = next(path.parent for path in folder.glob("*/study.yaml"))
            seconds = [run([BIN, "report", study])[1] for _ in range(args.rounds + 1)][1:]
            records = sum(1 for _ in (study / "records/main.jsonl").open())
            rows.append({"records": records, "seconds": spread(seconds), "page_bytes": (study / "report/index.html").stat().st_size})
            print(rows[-1], flush=True)
        finally:
            shutil.rmtree(folder)
    write(args.out, "report.json", {"command": "make bench-report", "date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions(), "n": args.rounds, "rows": rows})


main()
