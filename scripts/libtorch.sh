#!/usr/bin/env bash
# Makes .venv/libtorch point to PyTorch 2.11's folder: LIBTORCH if set, else the active Python's torch 2.11, else torch 2.11.0
# from PyPI in .venv (the small CPU set without an NVIDIA driver, the full one with; TORCH=cpu|cuda overrides).
set -euo pipefail
cd "$(dirname "$0")/.."
want=2.11
link=.venv/libtorch

say() { printf 'libtorch: %s\n' "$*" >&2; }
version_of() { sed -n "s/^__version__ = ['\"]\([^'\"]*\)['\"].*/\1/p" "$1/version.py" 2>/dev/null || true; }
is_right() { [[ -e "$1/lib/libtorch_cpu.so" && "$(version_of "$1")" == "$want"* ]]; }

if [[ -n "${LIBTORCH:-}" ]]; then
  # A plain libtorch download has no version.py but a build-version file.
  version=$(version_of "$LIBTORCH"); [[ -n $version ]] || version=$(cat "$LIBTORCH/build-version" 2>/dev/null || true)
  if [[ ! -e "$LIBTORCH/lib/libtorch_cpu.so" ]]; then
    say "LIBTORCH=$LIBTORCH has no lib/libtorch_cpu.so"; say "hint: unset LIBTORCH to have PyTorch $want installed into .venv"; exit 2
  fi
  if [[ "$version" != "$want"* ]]; then
    say "LIBTORCH=$LIBTORCH is version ${version:-unknown}; this program needs $want"; say "hint: unset LIBTORCH to have PyTorch $want installed into .venv"; exit 2
  fi
  exit 0
fi

# What an earlier run chose stands until `make clean-venv`, unless TORCH asks for the other kind.
# Every wheel has libtorch_cuda.so; CUDA works where the libraries that it needs are there too.
has_cuda() { [[ -e "$1/lib/libtorch_cuda.so" ]] && ! ldd "$1/lib/libtorch_cuda.so" 2>/dev/null | grep -q 'not found'; }
if [[ -e $link ]] && is_right "$link"; then
  case "${TORCH:-}" in
    cuda) has_cuda "$link" && exit 0 ;;
    *) exit 0 ;;
  esac
fi

kind=${TORCH:-}
if [[ -z $kind ]]; then
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then kind=cuda; else kind=cpu; fi
  active=$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null || true)
  if [[ -n $active ]] && is_right "$active" && { [[ $kind == cpu ]] || has_cuda "$active"; }; then
    mkdir -p .venv; ln -sfn "$active" $link
    say "using the active Python's PyTorch $(version_of "$active") in $active"; exit 0
  fi
fi
case $kind in
  cpu) packages=(--no-deps torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85) ;; # libtorch_cpu.so needs these two
  cuda) packages=(torch==2.11.0) ;;
  *) say "TORCH=$kind: expected cpu or cuda"; exit 2 ;;
esac
[[ -x .venv/bin/python ]] || python3 -m venv .venv || { say "python3 -m venv failed"; say "hint: install python3 with venv (Debian: apt install python3-venv)"; exit 2; }
say "installing PyTorch 2.11.0 ($kind) into .venv; once"
.venv/bin/python -m pip install -q --disable-pip-version-check "${packages[@]}" || { say "PyTorch 2.11.0 could not be installed from PyPI"; say "hint: check the network, or set LIBTORCH to a PyTorch $want folder"; exit 2; }
torch=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/torch
ln -sfn "${torch#"$PWD/.venv/"}" $link
is_right $link || { say "the installed PyTorch is not $want"; exit 2; }
