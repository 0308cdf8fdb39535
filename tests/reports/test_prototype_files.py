from __future__ import annotations

import json

import numpy as np
import pytest

from pellucid._checks import DataError
from pellucid.prototree import TreeRecipe, fit_tree
from pellucid.reports import prototype_files
from pellucid.reports.prototype_files import read_prototypes, write_prototypes
from pellucid.reports.run_pictures import picture_prototypes
from pellucid.runs import Run
from tests.reports.fitted_squares import make_data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    data = make_data()
    recipe = TreeRecipe(depth=2, epochs=2, warm_up_epochs=0, batch_size=8, latent_channels=8)
    fitted = fit_tree(data, recipe, quiet=True).fitted
    prototypes = picture_prototypes(fitted, data.images)
    run = Run.create(tmp_path_factory.mktemp("run") / "run", command="fit", config={})
    write_prototypes(run, fitted, data.images, prototypes)
    return run, fitted, prototypes


def test_read_prototypes_gives_what_was_written(written):
    run, _, prototypes = written
    for mine, theirs in zip(read_prototypes(run), prototypes, strict=True):
        np.testing.assert_array_equal(mine.picture, theirs.picture)
        assert (mine.branch, mine.box, mine.image_name, mine.class_name, mine.distance) == (
            theirs.branch,
            theirs.box,
            theirs.image_name,
            theirs.class_name,
            theirs.distance,
        )


def test_write_prototypes_keeps_the_box_in_the_source_s_pixels(written):
    run, fitted, _ = written
    for record, source in zip(run.read_json("prototypes"), fitted.sources, strict=True):
        box = fitted.patch_box(source.row, source.column)
        assert record["image_size_px"] == [48, 80]
        assert record["box_px"] == [3 * box.top, 4 * box.left, 3 * box.bottom, 4 * box.right]


def test_read_prototypes_of_some_branches_opens_their_pictures_alone(written, monkeypatch):
    opened = []
    whole = prototype_files.read_picture

    def read(path):
        opened.append(path.name)
        return whole(path)

    monkeypatch.setattr(prototype_files, "read_picture", read)
    assert [one.branch for one in read_prototypes(written[0], branches={0})] == [0]
    assert opened == ["branch-0.png"]


def test_read_prototypes_damaged_file_says_how_to_make_it_anew(written, tmp_path):
    run = Run.create(tmp_path / "run", command="fit", config={})
    records = written[0].read_json("prototypes")
    del records[0]["picture"]
    (run.path / "prototypes.json").write_text(json.dumps(records))
    with pytest.raises(DataError, match="pellucid report"):
        read_prototypes(run)
