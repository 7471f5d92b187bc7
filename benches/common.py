"""What the benchmarks share: running the program, the machine's description, medians with spread."""
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("TRANSFERGRID_BIN", ROOT / "target/release/transfergrid"))
PEERS = ROOT / "benches/peers"


def run(command, **options):
    """Runs a command; gives what it printed and its seconds. A failure is told with its words."""
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nfailed with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout, seconds


class Failed(Exception):
    """A peer that could not be measured, with its last words."""


def peer(script, *flags, timeout=None):
    """What a peer reports of itself; None if that took longer than `timeout` seconds."""
    command = [str(part) for part in (sys.executable, PEERS / script, *flags)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed with {done.returncode}: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def text(s, digits=3):
    """`median (min – max)`."""
    return f"{s['median']:.{digits}g} ({s['min']:.{digits}g} – {s['max']:.{digits}g})"


def machine():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    flags = next((l for l in open("/proc/cpuinfo") if l.startswith("flags")), "")
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True).stdout.split("\n")[0] if _has("nvidia-smi") else None
    return {"cpu": cpu, "cores": os.cpu_count(), "gpu": gpu, "avx512_bf16": "avx512_bf16" in flags, "system": platform.platform()}


def _has(program):
    import shutil
    return shutil.which(program) is not None


def versions(*packages):
    from importlib.metadata import PackageNotFoundError, version

    def found(package):
        try:
            return version(package)
        except PackageNotFoundError:
            return None
    doctor = json.loads(run([BIN, "doctor", "--json"])[0])
    ours = {"program": doctor["program"], "commit": doctor["commit"], "libtorch": (doctor.get("torch") or {}).get("libtorch")}
    return {**ours, "python": platform.python_version(), **{package: found(package) for package in packages}}


def write(out, name, result, quiet=False):
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        if not quiet:
            print(f"{out / name}")
