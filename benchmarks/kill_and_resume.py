"""Kill training at random moments (kill -9), resume it, and compare with an uninterrupted run.

    python benchmarks/kill_and_resume.py --kills 20

Each line of the table is one run of its own: started in a fresh process, killed at a moment drawn
uniformly from the length of the uninterrupted run, resumed in another process until it ends. Then
weights, prototypes' sources and metrics (but for the seconds) must equal the uninterrupted run's
exactly. Exits 1 if any differs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from pellucid.data import load_data
from pellucid.prototree import TreeRecipe, fit_tree, load_tree, save_tree
from pellucid.runs import Run

_READY = "ready"


def train_once(path: Path, *, resume: bool, threads: int, epochs: int) -> None:
    torch.set_num_threads(threads)
    data = load_data("digits", image_size=16, quiet=True)
    recipe = TreeRecipe(depth=4, epochs=epochs, warm_up_epochs=1, latent_channels=32)
    run = Run.open(path)
    print(_READY, flush=True)
    result = fit_tree(data, recipe, run=run, resume=resume, quiet=True)
    save_tree(result.fitted, path / "model.safetensors")


def start(path: Path, options: argparse.Namespace, *, resume: bool) -> subprocess.Popen[str]:
    """Start a training process; return once it is about to train."""
    command = [sys.executable, __file__, "--child", str(path)]
    command += ["--threads", str(options.threads), "--epochs", str(options.epochs)]
    process = subprocess.Popen(
        [*command, "--resume"] if resume else command, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if line != _READY:
        raise SystemExit(f"training did not start in {path}: {line!r}")
    return process


def finish(path: Path, options: argparse.Namespace, *, resume: bool) -> float:
    """Train to the end; return the seconds it took after the start."""
    process = start(path, options, resume=resume)
    started = time.perf_counter()
    if process.wait() != 0:
        raise SystemExit(f"training in {path} failed with exit code {process.returncode}")
    return time.perf_counter() - started


def differences(path: Path, reference: Path) -> list[str]:
    """Return what differs between two finished runs."""
    ours, theirs = (load_tree(folder / "model.safetensors") for folder in (path, reference))
    mine, other = ours.tree.state_dict(), theirs.tree.state_dict()
    found = [
        name
        for name in mine.keys() | other.keys()
        if name not in mine or name not in other or not torch.equal(mine[name], other[name])
    ]
    if ours.sources != theirs.sources or ours.neighbors != theirs.neighbors:
        found.append("sources")
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in Run.open(folder).metrics()]
        for folder in (path, reference)
    ]
    return found if rows[0] == rows[1] else [*found, "metrics"]


def new_run(folder: Path, name: str) -> Path:
    return Run.create(folder / name, command="fit", config={"data": "digits"}).path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="how many runs to kill")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of each run")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; default: the clock")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        train_once(
            options.child, resume=options.resume, threads=options.threads, epochs=options.epochs
        )
        return 0
    moments = random.Random(options.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reference = new_run(folder, "uninterrupted")
        seconds = finish(reference, options, resume=False)
        print(f"uninterrupted: {options.epochs} epochs in {seconds:.1f} s after the start")
        print("kill  after [s]  epochs done  files half written  resumed run")
        for kill in range(1, options.kills + 1):
            path = new_run(folder, f"killed-{kill}")
            process = start(path, options, resume=False)
            after = moments.uniform(0, seconds)
            time.sleep(after)
            process.kill()
            killed = process.wait() == -9
            partial = len(list(path.rglob("*.partial")))
            done = 0
            if Run.open(path).has_checkpoint("last"):
                done = Run.open(path).load_checkpoint("last")[1]["epochs_done"]
            finish(path, options, resume=True)
            wrong = differences(path, reference)
            failures += bool(wrong)
            verdict = f"differs in {', '.join(wrong)}" if wrong else "equal bit for bit"
            note = "" if killed else " (had ended before the kill)"
            print(f"{kill:4}  {after:9.2f}  {done:11}  {partial:18}  {verdict}{note}", flush=True)
    print(f"{options.kills - failures} of {options.kills} equal the uninterrupted run")
    return 1 if failures else 0


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    sys.exit(main())
