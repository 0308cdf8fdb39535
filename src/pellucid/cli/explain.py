"""``pellucid explain``: the decision path of single images, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid._checks import DataError, UsageError
from pellucid.cli.arguments import Parser, add_device_option, add_output_options, errors_in_flags
from pellucid.cli.output import print_json, print_lines, print_note, write_percent

if TYPE_CHECKING:
    from pellucid.reports.contents import PrototypePicture
    from pellucid.reports.run_pictures import ExplainedPicture


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "explain",
        "Say why a trained tree answers as it does: for each branch on the way whether the image\n"
        "holds a patch like its prototype, where, how surely, and how little would turn it.",
        [
            "pellucid explain runs/photos photo.jpg",
            "pellucid explain runs/photos photo.jpg --html why.html",
            "pellucid explain runs/photos photo.jpg other.jpg --json",
        ],
    )
    parser.add_argument("run", metavar="RUN", help="the run folder that `pellucid fit` made")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="picture files")
    parser.add_argument(
        "--html", metavar="F", help="also write a page; with several images, a folder of pages"
    )
    add_output_options(parser)
    add_device_option(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Explain and print; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    from pellucid.data.pictures import read_picture
    from pellucid.prototree.tree_run import TreeRun
    from pellucid.reports.prototype_files import read_prototypes
    from pellucid.reports.run_pictures import explain_picture

    with errors_in_flags(parser):
        tree_run = TreeRun.open(values.run)
        fitted = tree_run.load_tree(device=values.device)
        prototypes = read_prototypes(tree_run.run, pictures=values.html is not None)
        pictures = [(path, read_picture(Path(path))) for path in values.images]
        explained = [explain_picture(fitted, picture, name=path) for path, picture in pictures]
    warning = fitted.receptive_field.coverage_warning(fitted.recipe.backbone)
    pages = _write_pages(values.html, explained, prototypes, str(tree_run.path), warning)
    if values.json:
        print_json(
            {
                "run": str(tree_run.path),
                "explanations": [
                    {**one.to_dict(prototypes), **({"page": str(page)} if page else {})}
                    for one, page in zip(explained, pages, strict=True)
                ],
            }
        )
        return 0
    for number, one in enumerate(explained):
        if number:
            print()
        print_lines(_in_words(one, prototypes))
    for page in filter(None, pages):
        print_lines(["", f"page  {page}"])
    if warning:
        print_note(f"warning: {warning}")
    return 0


def _in_words(explained: ExplainedPicture, prototypes: Sequence[PrototypePicture]) -> Iterator[str]:
    one = explained.explanation
    names = explained.class_names
    by_branch = {prototype.branch: prototype for prototype in prototypes}
    yield (
        f"{explained.name}: {names[one.prediction]} "
        f"({write_percent(one.leaf_probabilities[one.prediction])} at leaf {one.leaf}, "
        f"path probability {write_percent(one.path_probability)})"
    )
    for number, (turn, box) in enumerate(zip(one.path, explained.boxes, strict=True), start=1):
        prototype = by_branch.get(turn.branch)
        whose = f" ({prototype.image_name}, class {prototype.class_name})" if prototype else ""
        likeness = "similar" if turn.went_right else "not similar"
        yield (
            f"  {number}. {likeness} to prototype {turn.branch}{whose}: similarity "
            f"{turn.similarity:.3f}, margin {turn.margin:.3f}, rows {box.top} to {box.bottom} and "
            f"columns {box.left} to {box.right} px"
        )
    if one.path:
        yield f"  No change of its latent patches smaller than {one.margin:.3f} alters this path."
    rival = names[one.runner_up]
    share = write_percent(one.probabilities[one.runner_up])
    if one.runner_up == one.soft_prediction != one.prediction:
        yield f"  All leaves together answer otherwise: {rival} ({share})."
    elif one.runner_up_split is None or one.runner_up_split >= len(one.path):
        yield f"  Runner-up: {rival} ({share}); no leaf answers with it."
    else:
        turn = one.path[one.runner_up_split]
        yield (
            f"  Runner-up: {rival} ({share}); its path splits off at step "
            f"{one.runner_up_split + 1}, prototype {turn.branch}."
        )


def _write_pages(
    target: str | None,
    explained: Sequence[ExplainedPicture],
    prototypes: Sequence[PrototypePicture],
    run_name: str,
    warning: str | None,
) -> list[Path | None]:
    if target is None:
        return [None] * len(explained)
    from pellucid.reports.page import render_explanation, write_page

    path = Path(target)
    if len(explained) > 1 and path.exists() and not path.is_dir():
        raise UsageError(f"--html must name a folder for several images, got the file {target!r}.")
    if len(explained) == 1 and path.is_dir():
        raise UsageError(f"--html must name a file for one image, got the folder {target!r}.")
    pages: list[Path | None] = []
    for number, one in enumerate(explained, start=1):
        page = path
        if len(explained) > 1:
            page = path / f"{number}-{Path(one.name).stem}.html"
        text = render_explanation(
            one.contents,
            prototypes,
            class_names=one.class_names,
            subtitle=f"Answered by {run_name}",
            warnings=[warning] if warning else [],
        )
        try:
            pages.append(write_page(text, page))
        except OSError as error:
            raise DataError(f"{page} cannot be written: {error.strerror}.") from None
    return pages
