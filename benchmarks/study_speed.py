"""Speed of a study of 3 penalties x 5 seeds against the plain loop run fifteen times.

    python benchmarks/study_speed.py

Pictures of CIFAR-10's shape, made at random; the small CNN, batches of 64, an epoch of training and
a pass over the validation images. All contestants run in turn on the same two cores: the plain loop
(``plain_study.py``: DataLoader with two workers) for one epoch of each arm, and the stacked engine
for one epoch of all fifteen networks, in one process and in two, in float32 and in bfloat16. Writes
``docs/measurements/study-speed.md``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import describe_machine, machine_line
from plain_study import ARMS, BATCH, Pictures, PlainStudy
from stopwatch import interleaved_medians

from pellucid.data import InMemoryImages, LabelledData, Splits
from pellucid.regularization.penalties import Penalty
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.stacking.stack_layout import Pass
from pellucid.regularization.stacking.stacked_training import begin_training, train_stack

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results" / "study-speed.json"
TABLE = BENCHMARKS.parent / "docs" / "measurements" / "study-speed.md"
CORES = 2
SEEDS = 5
PENALTIES = {"none": Penalty(), "l1": Penalty(l1=1e-4), "l2": Penalty(l2=1e-3)}
GOALS = {"float32": 6.0, "bfloat16": 12.0}


def draw_pictures(count: int, held_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return uint8 pictures (n, 3, 32, 32) and labels."""
    source = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (count + held_out,), generator=source)
    shape = (count + held_out, 3, 32, 32)
    noise = torch.randint(0, 156, shape, generator=source)
    return (noise + 10 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


def as_data(count: int, held_out: int) -> LabelledData:
    """Return the pictures as Pellucid's data."""
    pixels, labels = draw_pictures(count, held_out)
    everything = torch.arange(count + held_out)
    images = InMemoryImages(
        pixels,
        labels=labels,
        class_names=[str(number) for number in range(10)],
        names=[str(number) for number in range(len(labels))],
        digest="0" * 64,
    )
    splits = Splits(everything[:count], everything[count:], everything[:0])
    return LabelledData("random pictures", images, splits)


def study_runs(precision: str, epochs: int) -> list[tuple[NetworkRecipe, int]]:
    """Return the fifteen runs, the arms of a seed side by side."""
    return [
        (NetworkRecipe(penalty=penalty, epochs=epochs, batch_size=BATCH, precision=precision), seed)
        for seed in range(SEEDS)
        for penalty in PENALTIES.values()
    ]


def work(pipe, part: int, parts: int, precision: str, epochs: int, count: int, held_out: int):
    """Train a share of the runs, an epoch each time that the other end of the pipe says so."""
    torch.set_num_threads(1)
    runs = study_runs(precision, epochs)
    share = -(-len(runs) // parts)
    data = as_data(count, held_out)

    def next_epoch(done: int, rows: list) -> None:
        pipe.send(rows[0]["train_loss"])
        if done < epochs:
            pipe.recv()

    pipe.recv()
    train_stack(
        runs[part * share : (part + 1) * share],
        data,
        on_epoch=next_epoch,
        train_metrics="running",
    )


def processor_seconds(pids: list[int]) -> float:
    """Return the processor time that some processes have had so far, by Linux's account."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Metered:
    """A contestant whose processor time is written down at each call."""

    def __init__(self, call: Callable[[], object], pids: Callable[[], list[int]]) -> None:
        self.call, self.pids = call, pids
        self.seconds: list[float] = []

    def __call__(self) -> None:
        """Run once."""
        if not self.seconds:  # the workers start in the warm-up
            self.call()
            self.seconds.append(0.0)
            return
        before = processor_seconds(self.pids())
        self.call()
        self.seconds.append(processor_seconds(self.pids()) - before)

    @property
    def median(self) -> float:
        """Median processor seconds after the warm-up."""
        return statistics.median(self.seconds[1:])


class Stacked:
    """The stacked engine in some processes; a call is one epoch of all fifteen networks."""

    def __init__(self, processes: int, precision: str, options: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for part in range(processes):
            ours, theirs = context.Pipe()
            settings = (precision, options.rounds + 1, options.images, options.held_out)
            process = context.Process(
                target=work, args=(theirs, part, processes, *settings), daemon=True
            )
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)

    def __call__(self) -> None:
        """Run one epoch."""
        for pipe in self.pipes:
            pipe.send("go")
        for pipe in self.pipes:
            pipe.recv()


def measure_study(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return median seconds of an epoch of all fifteen networks, of clock and processors."""
    pixels, labels = draw_pictures(options.images, options.held_out)
    arrays = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    numbers = labels.tolist()
    training = Pictures(arrays[: options.images], numbers[: options.images])
    validation = Pictures(arrays[options.images :], numbers[options.images :])
    contestants: dict[str, Metered] = {}
    for processes in (1, 2):
        for precision in GOALS:
            stacked = Stacked(processes, precision, options)
            pids = [process.pid for process in stacked.processes]
            contestants[f"{precision} {processes}"] = Metered(stacked, lambda pids=pids: pids)
    others = set(children_of(os.getpid()))
    for arm in ARMS:
        study = PlainStudy(arm, training, validation)

        def family() -> list[int]:
            # The loaders of the other arms sleep meanwhile and take no time.
            return [os.getpid(), *(set(children_of(os.getpid())) - others)]

        contestants[f"plain {arm}"] = Metered(study.run_epoch, family)
    medians = interleaved_medians(contestants, rounds=options.rounds)
    found = {
        name: {"clock": medians[name] / 1e3, "processor": contestant.median}
        for name, contestant in contestants.items()
    }
    # Five seeds of each arm, one after another.
    found["plain"] = {
        kind: SEEDS * sum(found[f"plain {arm}"][kind] for arm in ARMS)
        for kind in ("clock", "processor")
    }
    return found


def interleaved_processor_medians(
    contestants: dict[str, Callable[[], object]], *, rounds: int
) -> dict[str, float]:
    """Return each contestant's median milliseconds of processor time, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1 + rounds):
        for name, call in contestants.items():
            started = time.process_time()
            call()
            if number:
                times[name].append(1e3 * (time.process_time() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def measure_steps(options: argparse.Namespace) -> dict[str, float]:
    """Return milliseconds a step: of the engine, of its mathematics alone, of both L1 methods."""
    torch.set_num_threads(1)
    data = as_data(BATCH * 40, 0)
    steps = 40

    def stack_of(penalty: Penalty):
        runs = [(NetworkRecipe(penalty=penalty, batch_size=BATCH), 0) for _ in PENALTIES]
        training = begin_training(runs, data)
        (stack, _) = training.stacks[0]
        return stack, training.images

    stack, images = stack_of(Penalty())
    batches = list(images.epoch([0], 0, batch_size=BATCH, drop_last_of_one=False))
    weights = stack.weights

    def mathematics() -> None:
        for pixels, labels, _, _ in batches:
            state = Pass(weights.leaves(), weights.buffers)
            logits = stack.network(pixels, 1, state, training=True)
            targets = labels.expand(len(PENALTIES), -1)
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.reshape(-1), reduction="sum"
            )
            weights.take_gradients(loss / BATCH)
            stack.optimizer.step(0.01)

    def nothing() -> None:
        return None

    proximal, _ = stack_of(Penalty(l1=1e-4))
    subgradient, _ = stack_of(Penalty(l1=1e-4, method="subgradient"))
    medians = interleaved_processor_medians(
        {
            "mathematics": mathematics,
            "engine": lambda: stack.train_epoch(images, 1, nothing),
            "proximal": lambda: proximal.train_epoch(images, 1, nothing),
            "subgradient": lambda: subgradient.train_epoch(images, 1, nothing),
        },
        rounds=6 * options.rounds,
    )
    return {name: value / steps for name, value in medians.items()}


def render_table(document: dict) -> str:
    """Return the markdown page."""
    seconds, steps, settings = document["seconds"], document["steps"], document["settings"]
    plain = seconds["plain"]
    networks = SEEDS * len(PENALTIES)
    images = networks * settings["images"]
    lines = [
        "# Speed of a study",
        "",
        "Written by `python benchmarks/study_speed.py`; how to repeat it is in "
        "`benchmarks/README.md`.",
        "",
        f"3 penalties × 5 seeds of the small CNN on {settings['images']:,} random pictures of "
        f"32×32, batches of {BATCH}, SGD with momentum .9; one epoch, and one pass over "
        f"{settings['held_out']:,} validation pictures, of each of the fifteen networks. *Plain*: "
        "the loop as people write it, a `DataLoader` with two workers (kept alive between epochs), "
        "one network after another, two threads. *Stacked*: `train_stack`, one thread a process. "
        f"All in turn on the same two cores, medians of {settings['rounds']} rounds. Images/s: "
        "training images of all networks over the time of the whole epoch. *Processor*: the ratio "
        "of the processor time that all processes of either side took, which other work on the "
        "machine moves less than the clock.",
        "",
        "| | seconds | images/s | times the plain loop | processor | goal | |",
        "|---|---|---|---|---|---|---|",
        f"| plain loop, fifteen times | {plain['clock']:.1f} | {images / plain['clock']:,.0f} "
        "| 1 | 1 | | |",
    ]
    for precision, goal in GOALS.items():
        for processes in (1, 2):
            times = seconds[f"{precision} {processes}"]
            found = times["clock"]
            ratio = plain["clock"] / found
            processor = plain["processor"] / times["processor"]
            verdict = "met" if ratio >= goal else "**not met**"
            wanted = f"≥ {goal:g} | {verdict}" if processes == 2 else " |"
            name = f"{processes} process{'es' if processes > 1 else ''}"
            lines.append(
                f"| stacked, {precision}, {name} | {found:.2f} | {images / found:,.0f} "
                f"| {ratio:.1f} | {processor:.1f} | {wanted} |"
            )
    overhead = steps["engine"] - steps["mathematics"]
    cost = steps["proximal"] / steps["subgradient"] - 1
    lines += [
        "",
        "One step of a stack of three networks, float32, one thread, processor time:",
        "",
        "| | ms a step | goal | |",
        "|---|---|---|---|",
        f"| forward, backward and optimizer alone | {steps['mathematics']:.2f} | | |",
        f"| the loop's overhead: batches, metrics, interruption | {overhead:.3f} | ≤ 0.1 | "
        f"{'met' if overhead <= 0.1 else '**not met**'} |",
        f"| with L1 by subgradient | {steps['subgradient']:.2f} | | |",
        f"| with L1 by proximal steps | {steps['proximal']:.2f} ({100 * cost:+.1f} %) | ≤ +5 % | "
        f"{'met' if cost <= 0.05 else '**not met**'} |",
        "",
        f"- {machine_line(document['machine'])}.",
    ]
    if settings["note"]:
        lines.append(f"- {settings['note']}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=9000)
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--table", type=Path, default=TABLE, help="the markdown file to write")
    options = parser.parse_args()
    started = time.perf_counter()
    if hasattr(os, "sched_setaffinity"):  # workers inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-CORES:])
    torch.set_num_threads(CORES)
    document = {
        "machine": describe_machine(threads=CORES, distributions=("torch", "pellucid")),
        "settings": {
            "images": options.images,
            "held_out": options.held_out,
            "rounds": options.rounds,
            "note": options.note,
        },
        "seconds": measure_study(options),
        "steps": measure_steps(options),
    }
    for path in (options.results, options.table):
        path.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(document, indent=1) + "\n")
    options.table.write_text(render_table(document))
    elapsed = time.perf_counter() - started
    print(f"wrote {options.results} and {options.table} in {elapsed:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
