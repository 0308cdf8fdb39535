"""Do the intervals hold what they promise, and do the tests raise as many false alarms as they say?

    python benchmarks/interval_coverage.py

draws studies whose truth is known, asks the functions that `pellucid study` uses, and counts. One
core, a few minutes; writes ``docs/measurements/coverage.md``.

Two kinds of draws. *Seeds only*: paired differences, normal or skewed (exponential, longer to one
side: what a few failing seeds look like). *Seeds and images*: an answer is right where
``ease of the image + the arm's liking of it + the seed's luck + noise > 0``, all drawn anew, so
that the truth is known for other seeds on the same images, for other images with the same networks,
and for both.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from pellucid.regularization.statistics.paired_differences import (
    bootstrap_interval,
    combine_seeds_and_images,
    holm,
    mcnemar_test,
    merge_p_values,
    sampling_interval,
    t_interval,
    t_test,
    wilcoxon_test,
)

TABLE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "coverage.md"
SEEDS = (3, 5, 10, 20)
SHAPES = ("normal", "skewed")
LEVEL = 0.05
MEAN_EASE, EASE_SD, LIKING_SD = 1.5, 1.5, 0.5  # about 79 % right, and mostly the same images


@dataclass(frozen=True)
class Rate:
    """A share of rounds with its Monte-Carlo standard error."""

    share: float
    rounds: int

    @property
    def error(self) -> float:
        """Standard error, from the share itself."""
        return float(np.sqrt(max(self.share * (1 - self.share), 1e-9) / self.rounds))

    def __str__(self) -> str:
        return f"{100 * self.share:.1f}"


def draw_noise(shape: str, size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of mean 0 and standard deviation 1."""
    if shape == "normal":
        return rng.standard_normal(size)
    return rng.standard_exponential(size) - 1.0


def holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def simulate_seeds(
    shape: str, seeds: int, *, rounds: int, seed: int, bootstrap: bool = True
) -> dict[str, Rate]:
    """Return coverage of the intervals over seeds and size of the tests, with no true difference.

    The family of Holm's procedure is the three pairs of three equal arms, one of them with noise of
    the given shape; a skewed arm against a normal one.
    """
    rng = np.random.default_rng(seed)
    hits = dict.fromkeys(
        ["t interval", "percentile", "BCa", "t test", "Wilcoxon", "Holm", "raw"], 0
    )
    for _ in range(rounds):
        differences = draw_noise(shape, (seeds,), rng)
        hits["t interval"] += holds(t_interval(differences), 0.0)
        if bootstrap:
            hits["percentile"] += holds(bootstrap_interval(differences), 0.0)
            hits["BCa"] += holds(bootstrap_interval(differences, method="BCa"), 0.0)
        hits["t test"] += _below(t_test(differences))
        hits["Wilcoxon"] += _below(wilcoxon_test(differences))
        arms = np.stack([draw_noise(kind, (seeds,), rng) for kind in (shape, "normal", "normal")])
        p_values = [t_test(arms[i] - arms[j]) for i, j in ((1, 0), (2, 0), (2, 1))]
        hits["raw"] += any(map(_below, p_values))
        hits["Holm"] += any(map(_below, holm(p_values)))
    return {name: Rate(count / rounds, rounds) for name, count in hits.items()}


def _below(p: float | None) -> bool:
    return p is not None and p < LEVEL


def simulate_images(
    shape: str,
    seeds: int,
    *,
    images: int,
    luck_sd: float,
    rounds: int,
    seed: int,
    mcnemar: bool = False,
) -> dict[str, Rate]:
    """Return coverage of each interval of the truth it is about, when images are drawn too.

    Args:
        shape: Of the luck of the first arm's seeds; the second arm's is normal.
        seeds: Networks of each arm.
        images: Test images.
        luck_sd: Standard deviation of the luck; 0.1 is about 1.6 points of accuracy. With 0 each
            pair of networks has the same true accuracy, which is what McNemar's test supposes.
        rounds: Studies to draw.
        seed: Of the draws.
        mcnemar: Measure the size of the merged McNemar tests too; slow.
    """
    rng = np.random.default_rng(seed)
    grid = (np.arange(20_000) + 0.5) / 20_000
    quantiles = {"normal": stats.norm.ppf(grid), "skewed": -np.log1p(-grid) - 1.0}
    whole = np.sqrt(EASE_SD**2 + LIKING_SD**2 + 1)

    def accuracy(luck: NDArray[np.float64]) -> float:
        return float(special.ndtr((MEAN_EASE + luck) / whole).mean())

    truth = accuracy(luck_sd * quantiles[shape]) - accuracy(luck_sd * quantiles["normal"])
    names = ["seed interval", "sampling interval", "combined interval", "naive sum"]
    names += ["seed interval of other images"]
    hits = dict.fromkeys([*names, "McNemar", "pooled McNemar"], 0)
    coarse = {kind: values[50::100] for kind, values in quantiles.items()}
    for _ in range(rounds):
        ease = MEAN_EASE + EASE_SD * rng.standard_normal(images)
        liking = LIKING_SD * rng.standard_normal((2, images))
        luck = luck_sd * np.stack([draw_noise(s, (seeds,), rng) for s in (shape, "normal")])
        noise = rng.standard_normal((2, seeds, images))
        right = ease + liking[:, None] + luck[:, :, None] + noise > 0
        table = right[0].astype(np.float64) - right[1]
        by_seed = t_interval(table.mean(1))
        # The same images, all seeds there could be.
        there = [
            special.ndtr((ease + liking[i])[:, None] + luck_sd * coarse[kind]).mean()
            if luck_sd
            else special.ndtr(ease + liking[i]).mean()
            for i, kind in enumerate((shape, "normal"))
        ]
        hits["seed interval"] += holds(by_seed, float(there[0] - there[1]))
        hits["seed interval of other images"] += holds(by_seed, truth)
        # These networks, all images there could be.
        networks = accuracy(luck[0]) - accuracy(luck[1])
        hits["sampling interval"] += holds(sampling_interval(table.mean(0)), networks)
        combined = combine_seeds_and_images(table)
        hits["combined interval"] += combined is not None and combined.low <= truth <= combined.high
        hits["naive sum"] += holds(_naive_sum(table), truth)
        if mcnemar:
            p_values = [mcnemar_test(right[0, s], right[1, s]) for s in range(seeds)]
            hits["McNemar"] += merge_p_values(p_values) < LEVEL
            hits["pooled McNemar"] += mcnemar_test(right[0].ravel(), right[1].ravel()) < LEVEL
    return {name: Rate(count / rounds, rounds) for name, count in hits.items()}


def _naive_sum(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return the interval that adds both variances as they are, for comparison."""
    seeds, images = table.shape
    a, b = table.mean(1).var(ddof=1) / seeds, table.mean(0).var(ddof=1) / images
    degrees = (a + b) ** 2 / (a**2 / (seeds - 1) + b**2 / (images - 1))
    reach = float(stats.t.ppf(1 - LEVEL / 2, degrees) * np.sqrt(a + b))
    mean = float(table.mean())
    return mean - reach, mean + reach


# ---------------------------------------------------------------- the page

LUCKS = (("normal", 0.02), ("normal", 0.1), ("normal", 0.3), ("skewed", 0.3))
TEST_IMAGES = 400


def write_page(
    by_seed: dict[tuple[str, int], dict[str, Rate]],
    by_image: dict[tuple[str, float, int], dict[str, Rate]],
    mcnemar: dict[int, dict[str, Rate]],
    seconds: float,
) -> str:
    """Return the page with all tables; what it says of figures is read from them."""
    five, skewed = by_seed["normal", 5], by_seed["skewed", 5]
    rounds = five["t test"].rounds
    image_rounds = by_image["normal", 0.02, 5]["seed interval"].rounds
    normal = [100 * by_seed["normal", seeds]["t interval"].share for seeds in SEEDS]
    combined = [100 * rates["combined interval"].share for rates in by_image.values()]
    naive = [100 * rates["naive sum"].share for rates in by_image.values()]
    return f"""# Intervals and tests, checked by simulation

Studies were drawn whose truth is known, and the functions that `pellucid study` uses were asked
about each. Written by `benchmarks/interval_coverage.py` on one core in {seconds / 60:.0f} minutes
beside other work. All figures are percent. What they mean is explained in
[comparing arms](../concepts/comparing-arms.md).

## Seeds only

{rounds:,} studies a row, no true difference. An interval should hold the truth in 95.0 of 100, a
test raise a false alarm in 5.0; the Monte-Carlo error is about
{100 * (LEVEL * (1 - LEVEL) / rounds) ** 0.5:.1f}. *Skewed* is an exponential distribution: most
seeds agree, a few are far off to one side. The family is the three pairs of three equal arms, one
of them of the row's shape.

{
        _table(
            [
                "differences",
                "seeds",
                "t interval",
                "percentile bootstrap",
                "BCa bootstrap",
                "paired t test",
                "Wilcoxon",
                "any of three t tests",
                "the same after Holm",
            ],
            [
                [
                    shape,
                    seeds,
                    *(
                        r[n]
                        for n in (
                            "t interval",
                            "percentile",
                            "BCa",
                            "t test",
                            "Wilcoxon",
                            "raw",
                            "Holm",
                        )
                    ),
                ]
                for (shape, seeds), r in by_seed.items()
            ],
        )
    }

- Where differences are normal, Student's interval holds the truth in {min(normal):.1f} to
  {max(normal):.1f} of 100: what it promises, up to Monte-Carlo error.
- With five seeds the percentile bootstrap holds the truth in {five["percentile"]} of 100 and BCa in
  {five["BCa"]}: both are far too short. So the verdict relies on the t interval and the paired t
  test, and the bootstrap is shown beside them only.
- With skewed differences and five seeds the t interval holds the truth in {skewed["t interval"]}
  of 100, and the bootstrap does no better. A collapsed run among few seeds is such a case: that is
  why such runs are named.
- The exact Wilcoxon test cannot reject at 5 % with three or five seeds; for skewed differences it
  tests another question (the median), hence its false alarms there.
- Three t tests raise a false alarm in {five["raw"]} of 100 families of five seeds, after Holm in
  {five["Holm"]}.

## Seeds and test images

{image_rounds:,} studies a row, two arms, {
        TEST_IMAGES
    } test images, about 79 % of them right. *Luck*
is how much seeds differ; 0.1 is about 1.6 points of accuracy. Each interval is held against the
truth it is about. The last two columns are not used by Pellucid: the combined interval with both
variances simply added, and the seed interval taken, wrongly, for one about other images. The
Monte-Carlo error is about {100 * (LEVEL * (1 - LEVEL) / image_rounds) ** 0.5:.1f}.

{
        _table(
            [
                "luck",
                "its size",
                "seeds",
                "seed interval: these images, other seeds",
                "sampling interval: these networks, other images",
                "combined interval: both",
                "variances added",
                "seed interval, other images",
            ],
            [
                [
                    shape,
                    luck,
                    seeds,
                    *(
                        r[n]
                        for n in (
                            "seed interval",
                            "sampling interval",
                            "combined interval",
                            "naive sum",
                            "seed interval of other images",
                        )
                    ),
                ]
                for (shape, luck, seeds), r in by_image.items()
            ],
        )
    }

- The combined interval holds the truth in {min(combined):.1f} to {max(combined):.1f} of 100; adding
  the variances without taking off what both contain gives {min(naive):.1f} to {max(naive):.1f}. It
  is too wide where few seeds hardly differ, and with three seeds that differ much a little too
  short ({by_image["normal", 0.3, 3]["combined interval"]}, skewed
  {by_image["skewed", 0.3, 3]["combined interval"]}).
- The seed interval promises nothing about other test images: with twenty seeds that agree well it
  holds the difference there in {
        by_image["normal", 0.02, 20]["seed interval of other images"]
    } of 100.

## McNemar's test over seeds

Pairs of networks of equal true accuracy, {TEST_IMAGES} test images, false alarms at 5 %,
{mcnemar[5]["McNemar"].rounds:,} studies a row. *Merged* is what Pellucid reports, valid but
cautious; *pooled* adds the seeds' counts as if each seed had new images.

{
        _table(
            ["seeds", "merged", "pooled"],
            [[seeds, r["McNemar"], r["pooled McNemar"]] for seeds, r in mcnemar.items()],
        )
    }
"""


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    rounds, start = options.rounds, time.perf_counter()
    by_seed = {
        (shape, seeds): simulate_seeds(shape, seeds, rounds=rounds, seed=100 + seeds)
        for shape in SHAPES
        for seeds in SEEDS
    }
    print(f"seeds only: {time.perf_counter() - start:.0f} s", flush=True)
    by_image = {
        (shape, luck_sd, seeds): simulate_images(
            shape, seeds, images=TEST_IMAGES, luck_sd=luck_sd, rounds=rounds, seed=200 + seeds
        )
        for shape, luck_sd in LUCKS
        for seeds in SEEDS
    }
    print(f"seeds and images: {time.perf_counter() - start:.0f} s", flush=True)
    mcnemar = {
        seeds: simulate_images(
            "normal",
            seeds,
            images=TEST_IMAGES,
            luck_sd=0.0,
            rounds=max(1, rounds // 2),
            seed=300 + seeds,
            mcnemar=True,
        )
        for seeds in SEEDS
    }
    page = write_page(by_seed, by_image, mcnemar, time.perf_counter() - start)
    options.table.write_text(page, encoding="utf-8")
    print(f"wrote {options.table}")


if __name__ == "__main__":
    main()
