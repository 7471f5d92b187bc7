#!/usr/bin/env bash
# Builds the wheel, and gives it the manylinux tag that auditwheel finds in its program's symbols.
#
# usage: scripts/wheel.sh [FOLDER]      (default: target/wheels)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-target/wheels}
.venv/bin/python -m pip install -q 'maturin>=1.9,<2' 'auditwheel>=6,<7' 'wheel>=0.45'
rm -rf target/wheel
mkdir -p target/wheel "$out"
# The tag `linux` first: libtorch, which the environment brings, is in no manylinux policy.
TRANSFERGRID_WHEEL=1 .venv/bin/maturin build --release --compatibility linux --auditwheel skip --out target/wheel
wheel=$(echo target/wheel/*.whl)
tag=$(.venv/bin/auditwheel show --json "$wheel" | .venv/bin/python -c '
import json, sys

found = json.load(sys.stdin)
others = [name for name in found["external_libs"] if not name.startswith(("libtorch", "libc10"))]
if others or not found["sym_tag"].startswith("manylinux"):
    sys.exit(f"no manylinux tag fits: {others or found}")
print(found["sym_tag"])')
named=$(.venv/bin/python -m wheel tags --remove --platform-tag "$tag" "$wheel" | tail -n 1)
mv "target/wheel/$named" "$out/"
rm -rf target/wheel
echo "$out/$named"
