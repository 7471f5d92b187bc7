#!/usr/bin/env python3
"""Reads a report's tables with pandas and polars and compares them. usage: tables.py REPORT-FOLDER

Fails where the Parquet file does not read back, where kinds of columns are not those of docs/report.md, or where CSV and Parquet differ.
"""
import pathlib
import sys

import pandas
import polars

WORDS = {"kind", "stage", "status", "error", "target", "case", "other_minima", "lambda_source_edge", "lambda_transfer_edge"}


def check(folder, name):
    parquet, text = pandas.read_parquet(folder / f"{name}.parquet"), pandas.read_csv(folder / f"{name}.csv")
    other = polars.read_parquet(folder / f"{name}.parquet")
    assert list(parquet.columns) == list(text.columns) == other.columns, (list(parquet.columns), list(text.columns), other.columns)
    assert len(parquet) == len(text) == len(other) and len(other) > 0
    for column in parquet.columns:
        a, b, c = parquet[column], text[column], other[column]
        if other.schema[column] == polars.Float64:
            assert column not in WORDS, column
            assert ((a == b) | (a.isna() & b.isna())).all(), column
            assert a.astype(float).equals(c.to_pandas().astype(float)), column
        elif other.schema[column] == polars.UInt64:
            assert ((a == b) | (a.isna() & b.isna())).all(), column
            assert c.to_list() == [None if n != n else n for n in a.tolist()], column
        else:
            assert other.schema[column] == polars.String, (column, other.schema[column])
            words = b.astype(object).where(b.notna(), "").astype(str)
            assert a.astype(object).where(a.notna(), "").tolist() == words.tolist() == c.fill_null("").to_list(), column
    return other


folder = pathlib.Path(sys.argv[1])
results = check(folder, "results")
if (folder / "optima.parquet").exists():
    check(folder, "optima")
else:
    assert results.schema["seed"] == polars.UInt64 and results.schema["lambda0"] == polars.Float64
    assert results.schema["test_acc"] == polars.Float64 and results.schema["error"] == polars.String
    assert results.filter(polars.col("kind") == "source")["lambda1"].is_null().all()
print(len(results))
