#!/usr/bin/env python3
"""TF-IDF features of 20 Newsgroups by scikit-learn: writes newsgroups.json beside this file.

usage: newsgroups.py DATA    (DATA holds 20news-bydate/; made with scikit-learn 1.9.1, any recent version should agree)
"""
import json, pathlib, sys
import numpy as np, sklearn
from sklearn.datasets._twenty_newsgroups import (
    strip_newsgroup_footer, strip_newsgroup_header, strip_newsgroup_quoting,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

root = pathlib.Path(sys.argv[1]) / "20news-bydate"


def documents(half, strip):
    texts = []
    for group in sorted(p for p in (root / f"20news-bydate-{half}").iterdir()):
        for path in sorted(group.iterdir(), key=lambda p: int(p.name)):
            text = path.read_bytes().decode("latin-1")
            if strip:  # in the order of fetch_20newsgroups
                text = strip_newsgroup_quoting(strip_newsgroup_footer(strip_newsgroup_header(text)))
            texts.append(text)
    return texts


cases = []
for strip in (False, True):
    train, test = documents("train", strip), documents("test", strip)
    # Rows that a task may train on: all, or every third document.
    for every, min_df, features in ((1, 1, 200000), (1, 2, 200000), (3, 2, 200000), (3, 3, None)):
        rows = train[::every]
        if features is None:  # a cut of the vocabulary that no tie straddles, so that it has one answer
            counter = CountVectorizer(min_df=min_df).fit(rows)
            counts = np.sort(np.asarray(counter.transform(rows).sum(axis=0)).ravel())[::-1]
            features = next(n for n in range(2000, len(counts)) if counts[n - 1] > counts[n])
        vectoriser = TfidfVectorizer(min_df=min_df, max_features=features).fit(rows)
        x, z = vectoriser.transform(rows), vectoriser.transform(test)
        names = vectoriser.get_feature_names_out()
        unscaled = TfidfVectorizer(min_df=min_df, max_features=features, norm=None).fit(rows)
        cases.append({
            "strip": strip, "every": every, "min_df": min_df, "features": features,
            "vocabulary": len(names), "first": names[0], "middle": names[len(names) // 2], "last": names[-1],
            "train_nonzeros": int(x.nnz), "test_nonzeros": int(z.nnz),
            "train_sum": float(x.sum()), "test_sum": float(z.sum()),
            "rows_of_length_1": int((abs(np.sqrt(x.multiply(x).sum(axis=1)) - 1) < 1e-9).sum()),
            "idf_sum": float(unscaled.idf_.sum()),
            # Row sums of every 500th document.
            "row_sums": [float(v) for v in np.asarray(x.sum(axis=1)).ravel()[::500]],
        })
out = {"sklearn": sklearn.__version__, "cases": cases}
pathlib.Path(__file__).with_name("newsgroups.json").write_text(json.dumps(out, indent=1) + "\n")
