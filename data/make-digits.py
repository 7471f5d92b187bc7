#!/usr/bin/env python3
"""Makes digits.bin.gz from the digits that scikit-learn ships (sklearn/datasets/data/digits.csv.gz).

usage: make-digits.py PATH-TO-digits.csv.gz

Output, gzipped: one record of 65 bytes an image, in the order of the source: the label, then 8×8 pixels row by row,
their 17 grey levels 0 … 16 stored as 0, 15, … 240.
"""
import gzip
import os
import sys

rows = gzip.open(sys.argv[1], "rt").read().split()
out = bytearray()
for row in rows:
    *pixels, label = [int(float(value)) for value in row.split(",")]
    assert len(pixels) == 64 and 0 <= label <= 9 and all(0 <= p <= 16 for p in pixels)
    out += bytes([label]) + bytes(15 * p for p in pixels)
assert len(out) == 1797 * 65
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digits.bin.gz")
with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
    packed.write(out)
