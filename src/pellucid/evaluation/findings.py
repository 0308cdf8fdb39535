"""What a reader must be told of an evaluation, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pellucid.evaluation.measure import Measure

LOW_FIDELITY = 0.95
"""Below it, for one image in twenty the path is not why the whole tree answers so."""

_LOW_ACCURACY = 0.5
_MANY_ANSWERS = 0.2
_FEW_ANSWERS = 0.1
_LOW_PURITY = 0.5
_LOW_CORRELATION = 0.5
_LARGE_BOX = 0.4
_OUTSIDE_LIMIT = 0.05
_INSIDE_LIMIT = 0.3
_DROP_LIMIT = 0.02
_MANY_PROTOTYPES = 0.3
_CLASSES_NAMED = 8
_FEW_IMAGES = 20


def list_findings(
    measures: Mapping[str, Measure], *, is_tree: bool, unanswered: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the sentences, the gravest first; the last ones say what is well.

    Args:
        measures: By name.
        is_tree: Speak of "this tree" instead of "this model".
        unanswered: Classes that the model never answers with.
    """
    what = "tree" if is_tree else "model"
    grave, calm = _judge_background(measures, what)
    weak, strong = _judge_importance(measures["single_deletion"])
    boxes_bad, boxes_good = _judge_boxes(measures)
    grave += _judge_answers(measures, what) + boxes_bad + _judge_prototypes(measures) + weak
    calm += boxes_good + strong
    drop = measures["projection_drop"]
    if drop.value is not None and drop.value > _DROP_LIMIT and (drop.low or 0) > 0:
        grave.append(
            f"Projection cost {_percent(drop.value)} of the answers: the pictures of the "
            "prototypes are not quite what was learned."
        )
    if unanswered:
        names = ", ".join(unanswered[:_CLASSES_NAMED])
        names += ", ..." if len(unanswered) > _CLASSES_NAMED else ""
        grave.append(f"This {what} answered none of the images measured with {names}.")
    accuracy = measures["accuracy"]
    if _is_guessing(accuracy):
        calm = []  # of a model that has learned nothing, nothing good follows
    if measures["background_changes_answer"].value is None:
        grave.append(
            f"Whether this {what} looks at the background could not be measured: that needs "
            "pictures whose background can be changed. Look at the boxes, and try a few images of "
            "your own with another background."
        )
    if (images := accuracy.total) < _FEW_IMAGES:
        grave.insert(
            0,
            f"Only {images} test image{'' if images == 1 else 's'} could be measured: what follows "
            "may be chance. Look at the intervals, or measure more images.",
        )
    return (*grave, *calm)


def _is_guessing(measure: Measure) -> bool:
    """Return whether a measure is not shown to be above its chance level; False if unknown."""
    return measure.low is not None and measure.chance is not None and measure.low <= measure.chance


def _judge_answers(measures: Mapping[str, Measure], what: str) -> list[str]:
    found = []
    accuracy, fidelity = measures["accuracy"], measures["fidelity"]
    soft = " (of all leaves together)" if what == "tree" else ""
    if _is_guessing(accuracy):
        found.append(
            f"This {what} is not shown to do better than guessing: {_percent(accuracy.value)} of "
            f"the answers{soft} are right, {_percent(accuracy.chance)} would be by always "
            "answering the commonest class."
        )
    elif accuracy.value is not None and accuracy.value < _LOW_ACCURACY:
        found.append(
            f"Only {_percent(accuracy.value)} of the answers{soft} are right, so what is "
            "explained here is mostly why they are wrong."
        )
    if fidelity.value is not None and fidelity.value < LOW_FIDELITY:
        found.append(
            f"The path that is shown is not always the reason: for {_percent(1 - fidelity.value)} "
            "of the images the whole tree, which weighs all paths, answers with another class."
        )
    return found


def _judge_importance(correlation: Measure) -> tuple[list[str], list[str]]:
    if correlation.value is None:
        return [], []
    blind = "" if correlation.chance is None else f"; a blind map gets {correlation.chance:.2f}"
    agreement = (
        "importance of the parts and the effect of really removing them agree with a rank "
        f"correlation of {correlation.value:.2f} (1 would be perfect{blind})."
    )
    if correlation.value < _LOW_CORRELATION or _is_guessing(correlation):
        return [f"What is called important is a weak guide to what matters: {agreement}"], []
    if correlation.low is None:
        return [], []  # too few values to praise
    return [], [f"What is called important does matter: {agreement}"]


def _judge_background(measures: Mapping[str, Measure], what: str) -> tuple[list[str], list[str]]:
    changed, there = measures["background_changes_answer"], measures["prototypes_on_background"]
    if changed.value is None:
        return [], []
    interval = ""
    if changed.low is not None:
        interval = f" (95 % interval {_percent(changed.low)} to {_percent(changed.high)})"
    lying = ""
    if there.value is not None:
        lying = f"{round(there.value * there.total)} of {there.total} prototypes lie on it"
    if changed.value >= _MANY_ANSWERS:
        more = f", and {lying}" if lying else ""
        return [
            f"This {what} looks at the background: another background changes "
            f"{_percent(changed.value)} of its answers{interval}{more}."
        ], []
    if changed.value >= _FEW_ANSWERS:
        more = f"; {lying}" if lying else ""
        return [
            f"The background has a say in this {what}: another one changes "
            f"{_percent(changed.value)} of its answers{interval}{more}."
        ], []
    grave = []
    if there.value is not None and there.value >= _MANY_PROTOTYPES:
        grave.append(
            f"Many prototypes show background: {lying}, though another background changes only "
            f"{_percent(changed.value)} of the answers. Questions about them tell a reader little."
        )
    if changed.high is None or changed.high >= _MANY_ANSWERS:
        return [
            *grave,
            f"Too few images were measured to tell whether this {what} looks at the background: "
            f"another one changes {_percent(changed.value)} of its answers{interval}.",
        ], []
    return grave, [
        f"This {what} does not depend on the background: another one changes "
        f"{_percent(changed.value)} of its answers{interval}."
    ]


def _judge_boxes(measures: Mapping[str, Measure]) -> tuple[list[str], list[str]]:
    found = []
    size = measures["box_size"]
    if size.value is not None and size.value > _LARGE_BOX:
        found.append(
            f"The boxes are large: {_percent(size.value)} of the image on average, so a box says "
            "little about where a prototype looks. Smaller patches say more: `--patch-size`, or "
            "another backbone."
        )
    outside, inside = (measures[f"local_perturbation_{side}"] for side in ("outside", "inside"))
    if outside.value is not None and outside.value > _OUTSIDE_LIMIT:
        found.append(
            "The boxes do not hold all that counts: replacing everything outside of a box changes "
            f"the similarity by {_percent(outside.value)} on average."
        )
    if inside.value is not None and inside.value < _INSIDE_LIMIT:
        found.append(
            "What a box shows is found elsewhere too: replacing all that is inside of it lowers "
            f"the similarity by only {_percent(max(inside.value, 0.0))} on average."
        )
    if found or outside.value is None or inside.value is None:
        return found, []
    return [], [
        "The boxes hold what counts: replacing everything outside of a box changes the similarity "
        f"by {_percent(outside.value)} on average, replacing the inside lowers it by "
        f"{_percent(inside.value)}."
    ]


def _judge_prototypes(measures: Mapping[str, Measure]) -> list[str]:
    purity = measures["purity_top_10"]
    if purity.value is None or purity.value >= _LOW_PURITY:
        return []
    return [
        "The prototypes do not stand for one part each: of the ten patches most similar to one, "
        f"only {_percent(purity.value)} show the same part at their middle "
        f"({_percent(purity.chance)} by chance)."
    ]


def _percent(share: float | None) -> str:
    if share is None:
        return "an unknown share"
    percent = round(100 * share, 6)
    # A half goes up, as in the table beside it, not to the even neighbor.
    return f"{int(percent + 0.5)} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"
