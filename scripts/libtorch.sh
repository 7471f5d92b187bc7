#!/usr/bin/env bash
# Makes .venv/libtorch point to PyTorch 2.11's folder: LIBTORCH if set, else the active Python's torch 2.11, else torch 2.11.0
# installed into .venv: the small CPU set on a machine without an NVIDIA GPU, else the build that its driver and GPU support.
# TORCH=cpu|cuda|cu130|cu128|cu126 overrides the choice.
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

# --- What this machine has. PyTorch 2.11 comes in three builds: CUDA 13.0 (PyPI) needs driver 580 and Turing or newer, CUDA 12.8
# Turing or newer, CUDA 12.6 Maxwell to Hopper; CUDA 12 needs driver 525.
root=${TRANSFERGRID_TEST_ROOT:-} # for tests: before /proc and /dev
has_gpu=no driver='' capability=''
if answer=$(timeout 10 nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null) && [[ $answer =~ ^[0-9.]+,\ *[0-9.]+ ]]; then
  has_gpu=yes
  # Of several GPUs the oldest.
  IFS=', ' read -r driver capability < <(sort -t, -k2 -V <<< "$answer" | head -n 1)
elif [[ -r $root/proc/driver/nvidia/version ]] || compgen -G "$root/dev/nvidia[0-9]*" > /dev/null; then
  has_gpu=yes
  driver=$(sed -n 's/^NVRM version.* \([0-9][0-9]*\.[0-9][0-9.]*\) .*/\1/p' "$root/proc/driver/nvidia/version" 2>/dev/null || true)
fi
major=${driver%%.*}

# The build for this GPU and driver.
build() {
  if [[ -n $major ]] && ((major < 525)); then
    say "the NVIDIA driver $driver is too old for PyTorch $want, which needs 525 or newer (580 for CUDA 13)"
    say "hint: install a newer driver, or train on the CPU: TORCH=cpu"; exit 2
  fi
  local generation=${capability%%.*}
  if [[ -n $capability && $(printf '%s\n' "$capability" 7.5 | sort -V | head -n 1) != 7.5 ]]; then echo cu126
  elif [[ -z $major ]] || ((major >= 580)); then echo cu130
  elif [[ -n $generation ]] && ((generation >= 10)); then echo cu128
  else echo cu126; fi
}

# What an earlier run chose stands until `make clean-venv`, unless TORCH asks for another kind, or a GPU has come since.
# Every wheel has libtorch_cuda.so; CUDA works where the libraries that it needs are there too.
has_cuda() {
  local needed
  [[ -e "$1/lib/libtorch_cuda.so" ]] || return 1
  needed=$(LD_LIBRARY_PATH=$(libraries "$1") ldd "$1/lib/libtorch_cuda.so" 2>/dev/null) || return 1
  needed=${needed//libcuda.so.1 => not found/} # the driver's
  [[ $needed != *'not found'* ]]
}
libraries() { compgen -G "$(readlink -f "$1")/../nvidia/*/lib" | paste -sd: || true; }
build_of() { version_of "$1" | sed -n 's/.*+\(cu[0-9]*\)$/\1/p'; }
if [[ -e $link ]] && is_right "$link"; then
  case "${TORCH:-}" in
    cpu) exit 0 ;;
    '')
      if [[ $has_gpu == no ]] || has_cuda "$link"; then exit 0; fi
      say "this machine has an NVIDIA GPU, and the PyTorch in $link is without CUDA"
      say "hint: make clean-venv installs anew for the GPU; TORCH=cpu keeps what is there"; exit 2 ;;
    cuda) if has_cuda "$link"; then exit 0; fi ;;
    *) if has_cuda "$link" && [[ $(build_of "$link") == "$TORCH" ]]; then exit 0; fi ;;
  esac
fi

kind=${TORCH:-}
if [[ -z $kind ]]; then
  kind=cpu; [[ $has_gpu == yes ]] && kind=cuda
  active=$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null || true)
  if [[ -n $active ]] && is_right "$active" && { [[ $kind == cpu ]] || { has_cuda "$active" && [[ $(build_of "$active") == "$(build)" ]]; }; }; then
    mkdir -p .venv; ln -sfn "$active" $link
    say "using the active Python's PyTorch $(version_of "$active") in $active"; exit 0
  fi
fi
if [[ $kind == cuda ]]; then kind=$(build); fi
case $kind in
  cpu) packages=(--no-deps torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85) from=PyPI ;; # libtorch_cpu.so needs these two
  cu130) packages=(torch==2.11.0) from=PyPI ;;
  cu126 | cu128) from=https://download.pytorch.org/whl/$kind; packages=(--index-url "$from" "torch==2.11.0+$kind") ;;
  *) say "TORCH=$kind: expected cpu, cuda, cu130, cu128 or cu126"; exit 2 ;;
esac
[[ -x .venv/bin/python ]] || python3 -m venv .venv || { say "python3 -m venv failed"; say "hint: install python3 with venv (Debian: apt install python3-venv)"; exit 2; }
say "installing PyTorch 2.11.0 ($kind${driver:+, for driver $driver}) into .venv; once"
.venv/bin/python -m pip install -q --disable-pip-version-check "${packages[@]}" || { say "PyTorch 2.11.0 could not be installed from $from"; say "hint: check the network, or set LIBTORCH to a PyTorch $want folder"; exit 2; }
torch=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/torch
ln -sfn "${torch#"$PWD/.venv/"}" $link
is_right $link || { say "the installed PyTorch is not $want"; exit 2; }
