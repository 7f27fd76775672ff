"""Settings from which a picture is painted again: the same bytes, and no private names."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from scenes import PHOTO, RECIPE, STYLES

import mnst
from mnst.cli import main
from mnst.painting.repeating import repeatable, source_of
from mnst.recipes import get_recipe

QUIET = {"backbone": "vgg19-lite", "precision": "float32", "progress": False}


@pytest.fixture
def files(tmp_path):
    """Paths of a photo and two styles."""
    paths = [tmp_path / "photo.png", tmp_path / "my_secret_a.png", tmp_path / "b.png"]
    for path, picture in zip(paths, [PHOTO, *STYLES], strict=True):
        Image.fromarray(picture).save(path)
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gamma": 0.3, "sigma": "auto", "size": 20},
        {"gamma": np.float32(0.25), "sigma": (1, np.float64(2.5))},
        {"gamma": {"colour": 0.2, "form": [0.9, 0.1]}, "style_size": (1, 1.5)},
        {"gamma": "left-to-right", "colours": "photo"},
        {"gamma": [np.int64(1), 0], "init": "noise", "seed": np.int64(7), "colours": 2},
        {"steps": 2, "recipe": "article,alpha=0.1", "seamless": True},
    ],
)
def test_what_settings_hold_paints_the_same_bytes(files, tmp_path, options):
    options = {"recipe": RECIPE, **QUIET, **options}
    photo, *styles = files
    result = mnst.stylize(photo, styles, **options)
    result.save(tmp_path / "out.png")
    kept = mnst.read_settings(tmp_path / "out.png")
    assert kept["options_left_out"] == []
    again = mnst.stylize(photo, styles, progress=False, **kept["options"])
    np.testing.assert_array_equal(again.image, result.image)
    assert json.loads(json.dumps(again.settings["options"])) == kept["options"]


def test_what_was_left_to_mnst_is_what_it_has_come_to(files):
    photo, *styles = files
    quick = {"recipe": RECIPE, "progress": False, "size": 20}
    options = mnst.stylize(photo, styles, backbone="vgg19-lite", **quick).settings["options"]
    assert options["backbone"] == "vgg19-lite"
    assert options["precision"] in ("float32", "bfloat16")


def test_what_was_strength_and_steps_is_the_recipe_s(files):
    photo, *styles = files
    given = {"recipe": "draft", "strength": 0.3, "steps": 4, "size": 24}
    options = mnst.stylize(photo, styles, **given, **QUIET).settings["options"]
    recipe = get_recipe(options["recipe"])
    assert (recipe.steps, recipe.strength) == (4, pytest.approx(0.3))
    assert "strength" not in options
    assert "steps" not in options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mask", "me.png"),
        ("mask", np.zeros((4, 4))),
        ("style_masks", [None, np.zeros((4, 4))]),
        ("init", "start.png"),
        ("gamma", "gamma.png"),
        ("gamma", np.zeros((4, 4))),
        ("gamma", {"colour": 0.5, "form": "gamma.png"}),
        ("backbone", object()),
        ("weights", "my.weights.h5"),
    ],
)
def test_what_json_can_t_hold_or_names_a_file_is_left_out_and_named(name, value):
    found = repeatable({name: value}, RECIPE)
    assert found["options_left_out"] == [name]
    assert name not in found["options"]
    assert "png" not in json.dumps(found)
    assert "my" not in json.dumps(found)


def test_files_are_known_by_their_hashes_and_not_by_names(files, server):
    photo, *styles = files
    with open(styles[1], "rb") as file:
        data = file.read()
    address = server.put("/b.png", data)
    result = mnst.stylize(photo, [styles[0], address], recipe=RECIPE, **QUIET)
    with open(photo, "rb") as file:
        assert result.settings["photo"] == {"sha256": hashlib.sha256(file.read()).hexdigest()}
    assert result.settings["styles"][1] == {"sha256": hashlib.sha256(data).hexdigest()}
    assert server.asked == ["/b.png"]  # once
    assert "secret" not in json.dumps(result.settings)
    assert "/" not in json.dumps([result.settings[name] for name in ("photo", "styles", "options")])


def test_names_are_written_if_they_are_asked_for(files):
    photo, *styles = files
    result = mnst.stylize(photo, styles, recipe=RECIPE, file_names=True, **QUIET)
    assert result.settings["photo"]["name"] == "photo.png"
    assert [style["name"] for style in result.settings["styles"]] == ["my_secret_a.png", "b.png"]
    with pytest.raises(TypeError, match="give True or False"):
        mnst.stylize(photo, styles, file_names="yes")


def test_arrays_are_known_by_all_that_they_are():
    array = np.zeros((4, 6, 3), np.uint8)
    keys = {
        source_of(of).sha256
        for of in (array, array.astype(np.float32), array.reshape(6, 4, 3), array + 1, b"bytes")
    }
    assert len(keys) == 5
    assert source_of(array) == source_of(Image.fromarray(array)) == source_of(array[::1])


def test_the_command_line_paints_like_a_painting(files, tmp_path, capsys):
    photo, *styles = files
    quiet = ["--backbone", "vgg19-lite", "--precision", "float32", "--no-progress"]
    first, again, larger = (str(tmp_path / name) for name in ("1.png", "2.png", "3.png"))
    given = ["--recipe", "draft", "--steps", "4", "--gamma", "0.3", "--size", "20"]
    assert main(["stylize", *files, "-o", first, *given, *quiet]) == 0
    assert main(["stylize", *files, "-o", again, "--like", first, "--no-progress"]) == 0
    capsys.readouterr()
    np.testing.assert_array_equal(Image.open(first), Image.open(again))
    changed = ["--size", "24", "--gamma", "1"]
    other = [styles[0], styles[1], photo]
    assert main(["stylize", *other, "-o", larger, "--like", first, "--no-progress", *changed]) == 0
    settings = mnst.read_settings(larger)
    assert settings["gamma"] == [1, 0]
    assert settings["options"]["size"] == 24
    assert settings["steps"] == 4
    said = capsys.readouterr().err
    assert said.count("is another picture than") == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "carries no settings"),
        ({"gamma": [1]}, "has no options"),
        ({"options": [1]}, "has no options"),
        ({"options": {}, "photo": 3}, "has no options"),
        ({"options": {"nothing": 1}}, "no option 'nothing'"),
        ({"options": {"size": -1}}, "size is -1"),
        ({"options": {"recipe": {}}}, "as_dict"),
    ],
)
def test_what_is_no_painting_of_ours_is_said_in_a_line(refused, files, tmp_path, settings, said):
    file = tmp_path / "like.png"
    if settings is not None:
        settings = {"photo": source_of(files[0]).as_dict(named=False), "styles": [], **settings}
    mnst.save_image(file, PHOTO, settings)
    line = refused("stylize", *files, "-o", str(tmp_path / "o.png"), "--like", str(file))
    assert said in line.splitlines()[-1]


def test_what_was_left_out_is_named(files, tmp_path, capsys):
    mask = tmp_path / "mask.png"
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(mask)
    out = str(tmp_path / "1.png")
    quick = ["--recipe", "draft", "--steps", "2", "--backbone", "vgg19-lite", "--no-progress"]
    assert main(["stylize", *files, "-o", out, "--mask", str(mask), *quick]) == 0
    again = ["stylize", *files, "-o", str(tmp_path / "2.png"), "--like", out, "--no-progress"]
    assert main(again) == 0
    assert "was painted with mask, too" in capsys.readouterr().err
    assert main([*again, "--mask", str(mask)]) == 0
    assert "was painted with" not in capsys.readouterr().err
