"""`vgg19-lite`, the network inside the package: its file, its shapes, how near it is to VGG19."""

import dataclasses
import json
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from scenes import PHOTO, RECIPE, STYLES, options

import mnst
from mnst.errors import WeightsError
from mnst.networks import BACKBONES, LITE_WIDTHS, get_backbone
from mnst.networks.lite import read_lite, write_lite
from mnst.paintings import glass, swirls

LITE = BACKBONES["vgg19-lite"]
LITE_FILE = LITE.find_weights().path


@pytest.fixture(autouse=True)
def offline(request, tmp_path, monkeypatch):
    """Nothing but the file is needed: no weights are named, and no address can be reached."""
    if request.node.get_closest_marker("weights"):
        return
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MNST_VGG19_WEIGHTS", raising=False)
    release = dataclasses.replace(
        BACKBONES["vgg19"].weights.release, addresses=("http://127.0.0.1:1/vgg19.h5",)
    )
    publish(monkeypatch, "vgg19", release=release)


def publish(monkeypatch, name, **changes):
    weights = dataclasses.replace(BACKBONES[name].weights, **changes)
    backbone = dataclasses.replace(BACKBONES[name], weights=weights)
    monkeypatch.setitem(BACKBONES, name, backbone)


def test_it_has_vgg19s_layers_and_shapes(random_weights):
    picture = np.random.default_rng(1).uniform(0, 255, (2, 45, 67, 3)).astype(np.float32)
    lite = mnst.vgg_layers(LITE.layers, backbone="vgg19-lite")(picture)
    full = mnst.vgg_layers(LITE.layers, weights=random_weights)(picture)
    assert lite.keys() == full.keys()
    for name, output in full.items():
        assert lite[name].shape == output.shape, name
        assert lite[name].dtype == output.dtype
        assert float(np.min(lite[name])) >= 0


def test_it_computes_in_bfloat16_too():
    picture = np.zeros((1, 32, 32, 3), np.float32)
    model = mnst.vgg_layers(["block2_conv1"], backbone="vgg19-lite", dtype="bfloat16")
    assert model(picture)["block2_conv1"].dtype == "bfloat16"
    assert not model.trainable_variables


def test_the_file_is_small_and_half_precision():
    assert LITE_FILE.stat().st_size < 6e6
    with np.load(LITE_FILE, allow_pickle=False) as arrays:
        kinds = {arrays[name].dtype for name in arrays.files if name != "widths"}
    assert kinds == {np.dtype(np.float16)}
    widths, values = read_lite(LITE_FILE)
    assert widths == LITE_WIDTHS
    assert all(np.isfinite(value).all() for value in values.values())


@pytest.mark.slow
@pytest.mark.weights
def test_it_is_near_vgg19():
    """On pictures that it was not trained on; docs/vgg19-lite.md has the measurements."""
    recipe = mnst.ARTICLE
    for picture in (swirls(size=160), glass(size=160)):
        image = picture[np.newaxis].astype(np.float32)
        full = mnst.vgg_layers(recipe.layers)(image)
        lite = mnst.vgg_layers(recipe.layers, backbone="vgg19-lite")(image)
        error = {
            name: float(np.sum((lite[name] - full[name]) ** 2) / np.sum(np.square(full[name])))
            for name in full
        }
        assert error["block1_conv1"] < 1e-4
        assert error["block2_conv1"] < 0.01
        assert error["block3_conv1"] < 0.06
        assert error["block4_conv1"] < 0.06
        assert error["block5_conv1"] < 0.4


# Where it takes VGG19's place


def test_it_paints_where_vgg19_cannot_be_had():
    with pytest.warns(UserWarning, match="can't be downloaded .*so the small vgg19-lite paints"):
        result = mnst.stylize(PHOTO, STYLES, recipe=RECIPE, precision="float32", progress=False)
    assert result.settings["backbone"] == "vgg19-lite"
    assert result.settings["weights"]["origin"] == "embedded"
    assert result.settings["weights"]["sha256"] == LITE.weights.sha256
    assert result.relative_improvement[0] > 1


def test_asked_for_by_name_vgg19_never_turns_into_another():
    with pytest.raises(WeightsError, match="can't be downloaded") as caught:
        mnst.stylize(PHOTO, STYLES, backbone="vgg19", recipe=RECIPE, progress=False)
    assert "backbone='vgg19-lite'" in str(caught.value)
    with pytest.raises(WeightsError):
        mnst.vgg_layers(["block1_conv1"])


def test_asked_for_by_name_it_needs_no_download_and_does_not_warn(monkeypatch, random_weights):
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = get_backbone("vgg19-lite").find_weights().fetch()
    assert (source.backbone, source.origin, source.path) == (LITE, "embedded", LITE_FILE)


def test_a_sweep_falls_back_once_and_keeps_what_it_painted(tmp_path):
    common = {"gamma": [0, 1], "recipe": RECIPE, "folder": tmp_path / "runs", "progress": False}
    with pytest.warns(UserWarning, match="vgg19-lite paints") as warned:
        sweep = mnst.sweep(PHOTO, STYLES, **common)
    assert len(warned) == 1
    assert {run.result.settings["backbone"] for run in sweep} == {"vgg19-lite"}
    again = mnst.sweep(PHOTO, STYLES, **common, backbone="vgg19-lite")
    assert all(run.found for run in again)


@pytest.mark.slow
def test_what_is_painted_with_it_differs_from_vgg19s(random_weights):
    lite = mnst.stylize(PHOTO, STYLES, **options(None, backbone="vgg19-lite"))
    full = mnst.stylize(PHOTO, STYLES, **options(random_weights))
    assert lite.start_losses != full.start_losses
    assert np.array_equal(
        lite.image, mnst.stylize(PHOTO, STYLES, **options(None, backbone="vgg19-lite")).image
    )


# Files that don't fit


@pytest.fixture
def copy(tmp_path):
    return shutil.copy(LITE_FILE, tmp_path / "copy.npz")


def test_a_damaged_package_is_told(copy, monkeypatch):
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    publish(monkeypatch, "vgg19-lite", path=copy)
    with pytest.raises(WeightsError, match="missing or damaged; install mnst again"):
        mnst.vgg_layers(["block1_conv1"], backbone="vgg19-lite")
    copy.unlink()
    with pytest.raises(WeightsError, match="missing or damaged; install mnst again"):
        mnst.stylize(PHOTO, STYLES, backbone="vgg19-lite", recipe=RECIPE, progress=False)


def foreign(path, **changes):
    """Writes a file like the package's, but for some entries; None leaves one out."""
    with np.load(LITE_FILE) as arrays:
        entries = {**arrays, **changes}
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})


ODD_WIDTHS = (["16", 24], [16.5, 24], [10**9, 24], [0, 0], [], 3, "ab", True, [24, 16], None)


def with_width(of):
    """The package's widths, but for one."""
    return np.array(json.dumps({**LITE_WIDTHS, "block1_conv2": of}))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        lambda path: zipfile.ZipFile(path, "w").close(),
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"),
        lambda path: foreign(path, widths=None),
        lambda path: foreign(path, widths=np.array("no JSON")),
        lambda path: foreign(path, widths=np.array(json.dumps([1, 2]))),
        lambda path: foreign(path, widths=np.array(json.dumps({"block1_conv1": None}))),
        *(lambda path, of=of: foreign(path, widths=with_width(of)) for of in ODD_WIDTHS),
        lambda path: foreign(path, **{"block3_conv1/kernel": None}),
        lambda path: foreign(path, **{"block3_conv1/kernel": np.zeros((1, 1, 2, 3), "float16")}),
    ],
)
def test_a_students_file_that_does_not_fit(copy, spoil):
    spoil(copy)
    with pytest.raises(WeightsError, match=r"copy.npz: (damaged|not a network)") as caught:
        mnst.vgg_layers(["block1_conv1"], backbone="vgg19-lite", weights=copy)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read(tmp_path):
    widths = {"block1_conv1": None, "block1_conv2": (3, 4)}
    values = {
        "block1_conv1/kernel": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4),
        "block1_conv2_reduce/kernel": np.zeros((1, 1, 4, 3), np.float32),
        "block1_conv2_core/kernel": np.zeros((3, 3, 3, 4), np.float32),
    }
    write_lite(tmp_path / "s.npz", widths, values)
    read_widths, read_values = read_lite(tmp_path / "s.npz")
    assert read_widths == widths
    kernel = read_values["block1_conv1/kernel"]
    assert kernel.dtype == np.float32
    assert np.allclose(kernel, values["block1_conv1/kernel"], rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("student.npz", "vgg19"), ("student.npz", "vgg16"), ("vgg19.weights.h5", "vgg19-lite")],
)
def test_weights_of_the_other_network(tmp_path, name, backbone):
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(ValueError, match=f"but backbone is '{backbone}': Keras' weights end in .h"):
        get_backbone(backbone).find_weights(tmp_path / name)


def test_the_ending_tells_the_network(copy):
    assert get_backbone("auto").find_weights(copy).backbone == LITE
    result = mnst.stylize(PHOTO, STYLES, **options(copy))
    assert result.settings["weights"]["origin"] == "weights argument"
