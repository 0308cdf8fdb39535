"""`ProtoTreeClassifier` as scikit-learn sees it, and as people with images use it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pellucid import DataError, ProtoTreeClassifier, UsageError
from pellucid.data import Augmentation
from pellucid.prototree import TreeRecipe
from pellucid.prototree.tree_run import TreeRun, TreeSettings, load_settings_data

QUICK = {
    "depth": 2,
    "image_size": 8,
    "epochs": 2,
    "batch_size": 16,
    "random_state": 0,
    "validation_fraction": 0,
}


def quick(**options) -> ProtoTreeClassifier:
    return ProtoTreeClassifier(**{**QUICK, **options})


# ---------------------------------------------------------------- scikit-learn's own checks

# None is expected to fail: a table of numbers is a set of grey images. Two do not run everywhere.
# check_array_api_input needs SCIPY_ARRAY_API, and tests what we do not offer: arrays of other
# libraries. Part of check_classifier_data_not_an_array needs pandas, which is no dependency.
EXPECTED_FAILED: dict[str, str] = {}


# scikit-learn tells by a warning that it skips these two.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [quick(epochs=6, batch_size=32, learning_rate=1e-2)],
    expected_failed_checks=lambda _: EXPECTED_FAILED,
)
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_estimator_in_a_pipeline_is_cross_validated():
    pixels, labels = load_digits(n_class=3, return_X_y=True)
    pipeline = make_pipeline(MinMaxScaler(), quick(epochs=12, batch_size=8, learning_rate=1e-2))
    scores = cross_val_score(pipeline, pixels[:150], labels[:150], cv=2)
    assert scores.mean() > 0.85


def test_clone_has_the_parameters_and_no_tree(fitted):
    augmentation = Augmentation(flip=True)
    again = clone(fitted.__class__(depth=3, augmentation=augmentation))
    assert again.get_params()["depth"] == 3
    assert again.augmentation == augmentation
    with pytest.raises(NotFittedError, match="not fitted yet"):
        again.predict(np.zeros((1, 8, 8)))


# ---------------------------------------------------------------- images as arrays


def striped_images(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 grey images of lying and of standing stripes, from 0 to 255."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.integers(0, 40, (count, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        stripes = image if label else image.T
        stripes[rng.integers(2) :: 2] += 200
    images[0, 0, 0], images[1, 0, 0] = 0, 255
    return images, labels


@pytest.fixture(scope="module")
def striped():
    return striped_images()


@pytest.fixture(scope="module")
def fitted(striped) -> ProtoTreeClassifier:
    return quick(epochs=4).fit(*striped)


def weights(estimator) -> dict[str, torch.Tensor]:
    return estimator.fitted_.tree.state_dict()


def assert_equal_trees(first, second) -> None:
    assert weights(first).keys() == weights(second).keys()
    for name, value in weights(first).items():
        assert torch.equal(value, weights(second)[name]), name


@pytest.mark.parametrize(
    "arrange",
    [
        lambda x: np.repeat(x[..., None], 3, axis=3),
        lambda x: np.repeat(x[:, None], 3, axis=1),
        lambda x: x[..., None],
        lambda x: x.reshape(len(x), -1),
        lambda x: x / 255,
        lambda x: x.astype(np.int64),
        lambda x: x * 1000.0 - 500,
    ],
    ids=["nhw3", "n3hw", "nhw1", "features", "to 1", "integers", "stretched"],
)
def test_fit_same_pixels_otherwise_arranged_gives_the_same_tree(striped, fitted, arrange):
    images, labels = striped
    other = quick(epochs=4).fit(arrange(images), labels)
    assert_equal_trees(other, fitted)
    assert np.array_equal(other.predict_proba(arrange(images)), fitted.predict_proba(images))


def test_fit_same_random_state_gives_the_same_tree(striped, fitted):
    assert_equal_trees(quick(epochs=4).fit(*striped), fitted)


def test_fit_other_random_state_gives_another_tree(striped, fitted):
    other = quick(epochs=4, random_state=1).fit(*striped)
    assert not torch.equal(weights(other)["prototypes"][0], weights(fitted)["prototypes"][0])


def test_fit_again_forgets_the_first_fit(striped, fitted):
    images, labels = striped
    other = quick(epochs=4, image_size=12).fit(images.reshape(len(images), -1) / 7.0, labels)
    other.set_params(image_size=8).fit(images, labels)
    assert not hasattr(other, "n_features_in_")
    assert_equal_trees(other, fitted)


@pytest.mark.parametrize("names", [np.array(["lying", "standing"]), np.array([-3, 7])])
def test_predict_gives_labels_as_they_came(striped, fitted, names):
    images, labels = striped
    other = quick(epochs=4).fit(images, names[labels])
    assert np.array_equal(other.classes_, names)
    assert other.predict(images).dtype == names.dtype
    assert np.array_equal(other.predict(images), names[fitted.predict(images)])


@pytest.mark.parametrize("routing", ["greedy", "distributed"])
def test_predict_proba_sums_to_one(striped, fitted, routing):
    shares = clone_with_tree(fitted, routing=routing).predict_proba(striped[0])
    assert shares.shape == (24, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (shares >= 0).all()


def clone_with_tree(estimator, **options) -> ProtoTreeClassifier:
    other = clone(estimator).set_params(**options)
    for name in ("fitted_", "classes_"):
        setattr(other, name, getattr(estimator, name))
    return other


def test_predict_greedy_and_distributed_may_differ():
    rng = np.random.default_rng(0)
    noise, labels = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 4
    greedy = quick(depth=4, epochs=3).fit(noise, labels)
    mixed = clone_with_tree(greedy, routing="distributed")
    other = rng.integers(0, 256, (200, 8, 8), dtype=np.uint8)
    assert (greedy.predict(other) != mixed.predict(other)).any()


def test_predict_numbers_in_another_range_than_uint8_is_refused(striped, fitted):
    with pytest.raises(UsageError, match=r"X must be uint8 or numbers in \[0, 1\].* from 0 to 255"):
        fitted.predict(striped[0].astype(float))


def test_explain_of_array_picture_and_file_agree(striped, fitted, tmp_path):
    image = striped[0][3]
    picture = Image.fromarray(image)
    picture.save(tmp_path / "image.png")
    first = fitted.explain(image)
    assert fitted.classes_[first.prediction] == fitted.predict(image[None])[0]
    for other in (picture, tmp_path / "image.png", str(tmp_path / "image.png")):
        assert fitted.explain(other) == first


def test_explain_after_a_fit_on_features_takes_pictures_too(striped, fitted):
    images, labels = striped
    rows = quick(epochs=4).fit(images.reshape(len(images), -1), labels)
    expected = fitted.explain(images[3])
    assert rows.explain(images[3].ravel()) == expected
    assert rows.explain(images[3]) == expected
    assert rows.explain(Image.fromarray(images[3])) == expected


# ---------------------------------------------------------------- images as files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    images, labels = striped_images(40)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / ("lying", "standing")[label] / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="module")
def fitted_on_folder(folder) -> ProtoTreeClassifier:
    return quick(epochs=4, random_state=3).fit(folder)


def test_fit_folder_takes_its_class_names(fitted_on_folder):
    assert fitted_on_folder.classes_.tolist() == ["lying", "standing"]
    assert fitted_on_folder.fitted_.image_size == (8, 8)


def test_score_folder_measures_on_the_images_that_fit_held_out(folder, fitted_on_folder):
    settings = TreeSettings.of(folder, seed=3, image_size=8, validation_fraction=0)
    data = load_settings_data(settings, quiet=True)
    test = data.splits.test
    assert len(test) == 8
    predicted = fitted_on_folder.predict(data.images.read(test).numpy())
    labels = np.asarray(data.images.class_names)[data.images.labels[test]]
    assert fitted_on_folder.score(folder) == (predicted == labels).mean()
    assert not {s.image for s in fitted_on_folder.fitted_.sources} & set(test.tolist())


def test_score_folder_of_an_unknown_class_is_refused(folder, fitted_on_folder, tmp_path):
    for name in ("lying", "sleeping"):
        (tmp_path / name).mkdir()
        for index in range(5):
            image = np.full((8, 8), 9 * index + len(name), np.uint8)
            Image.fromarray(image).save(tmp_path / name / f"{index}.png")
    with pytest.raises(DataError, match=r"class 'sleeping' .* none of the tree's classes"):
        fitted_on_folder.score(tmp_path)


def test_fit_built_in_set_by_name():
    estimator = quick(epochs=1, depth=1).fit("digits")
    assert estimator.classes_.tolist() == [str(digit) for digit in range(10)]
    assert 0 <= estimator.score("digits") <= 1


def test_fit_folder_with_labels_is_refused(folder):
    with pytest.raises(UsageError, match="y must be left out where X is a folder"):
        quick().fit(folder, [0, 1])


# ---------------------------------------------------------------- saving


def test_load_gives_the_estimator_back_bit_for_bit(striped, tmp_path):
    images, labels = striped
    classes = np.array([7, -3], dtype=np.int32)
    before = quick(
        image_size=(8, 9),
        augmentation=Augmentation(flip=True, rotate_degrees=5),
        random_state=np.int64(4),
        routing="distributed",
    ).fit(images / 3.0, classes[labels])
    before.save(tmp_path / "tree.safetensors")
    after = ProtoTreeClassifier.load(tmp_path / "tree.safetensors")
    assert after.get_params() == before.get_params()
    assert np.array_equal(after.classes_, before.classes_)
    assert after.classes_.dtype == np.int32
    assert np.array_equal(after.predict_proba(images / 3.0), before.predict_proba(images / 3.0))
    assert after.n_iter_ == before.n_iter_


def test_load_keeps_the_number_of_features(striped, tmp_path):
    images, labels = striped
    quick().fit(images.reshape(24, 64), labels).save(tmp_path / "tree.safetensors")
    after = ProtoTreeClassifier.load(tmp_path / "tree.safetensors")
    with pytest.raises(ValueError, match="X has 63 features"):
        after.predict(np.zeros((2, 63)))


def test_save_twice_gives_equal_files(fitted, tmp_path):
    fitted.save(tmp_path / "1.safetensors")
    ProtoTreeClassifier.load(tmp_path / "1.safetensors").save(tmp_path / "2.safetensors")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_load_of_a_run_answers_and_scores_on_its_test_images(folder, tmp_path):
    recipe = TreeRecipe(depth=2, epochs=3, batch_size=16)
    settings = TreeSettings.of(folder, recipe, seed=5, image_size=8, test_fraction=0.4, threads=1)
    data = load_settings_data(settings, quiet=True)
    run = TreeRun.create(settings, data, tmp_path / "run")
    tree = run.train(data, quiet=True).fitted
    estimator = ProtoTreeClassifier.load(run.path / "model.safetensors")
    assert estimator.get_params()["depth"] == 2
    pixels = data.images.read(data.splits.test)
    answers = tree.tree.answer(tree.normalization(pixels)).greedy_leaf
    expected = tree.tree.leaf_log_distributions()[answers].argmax(dim=1)
    assert estimator.predict(pixels.numpy()).tolist() == [
        data.images.class_names[label] for label in expected
    ]
    accuracy = (expected == data.images.labels[data.splits.test]).float().mean().item()
    assert estimator.score(folder) == pytest.approx(accuracy)


def test_save_before_fit_is_refused(tmp_path):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        quick().save(tmp_path / "tree.safetensors")


# ---------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"routing": "gredy"}, r"routing must be one of .* Did you mean 'greedy'"),
        ({"depth": 0}, r"depth must be an integer in \[1, 16\], got 0"),
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"learning_rate": 1e38}, "learning_rate must be a number in"),
        ({"device": "gpu"}, r"device must be available on this machine, got 'gpu'.* Use 'auto'"),
        ({"image_size": 2}, "image_size must be"),
        ({"random_state": -1}, "random_state must be an integer in"),
        ({"backbone": "patch_cn"}, "Did you mean 'patch_cnn'"),
        ({"augmentation": "gentle"}, "augmentation must be a pellucid.data.Augmentation"),
    ],
)
def test_fit_option_out_of_range_is_refused(striped, options, message):
    with pytest.raises(UsageError, match=message):
        quick(**options).fit(*striped)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_fit_on_an_absent_device_is_refused(striped):
    with pytest.raises(UsageError, match="device must be available on this machine, got 'cuda'"):
        quick(device="cuda").fit(*striped)


def test_fit_on_an_automatic_device_answers(striped):
    images, labels = striped
    estimator = quick(device="auto").fit(images, labels)
    assert len(estimator.predict(images)) == len(images)
    assert estimator.explain(images[0]).path


def test_predict_routing_mistyped_after_fit_is_refused(striped, fitted):
    with pytest.raises(UsageError, match="routing must be one of"):
        clone_with_tree(fitted, routing="soft").predict(striped[0])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 8, 8)), [1, 1, 1, 1], "at least 2 classes, got 1 class"),
        (np.zeros((4, 8, 8, 5)), [0, 1, 0, 1], r"1 or 3 channels, got shape \(4, 8, 8, 5\)"),
        (np.full((4, 8, 8), np.nan), [0, 1, 0, 1], "NaN"),
        (np.zeros((4, 1, 8, 8, 3)), [0, 1, 0, 1], "2, 3 or 4 dimensions"),
        (np.zeros((4, 8, 8)), [0, 1, 0], "inconsistent numbers of samples"),
        (np.zeros((4, 8, 8)), [0.5, 1.2, 0.1, 0.7], "Unknown label type"),
    ],
)
def test_fit_images_that_cannot_be_used_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(images, labels)


def test_load_of_something_else_is_refused(tmp_path):
    (tmp_path / "tree.json").write_text(json.dumps({}))
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        ProtoTreeClassifier.load(tmp_path / "tree.json")
