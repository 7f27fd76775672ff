"""People stay themselves: keep, only and mask, from stylize() to the command line.

In most tests a stand-in for DeepLab finds a person in the left half of every photo.
"""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import scenes
from PIL import Image
from PIL.ImageSequence import Iterator as Frames
from scenes import PHOTO, STYLES
from scipy import ndimage

import mnst
from mnst import Segmentation
from mnst.cli import main
from mnst.masks import segmentation
from mnst.masks.models import PASCAL_VOC
from mnst.masks.selection import check_classes, find_mask

PERSON = PASCAL_VOC.index("person")
LEFT = np.broadcast_to(np.arange(24) < 12, (20, 24))  # of PHOTO
FEATHER = 2


@pytest.fixture(scope="module")
def options(random_weights):
    return scenes.options(random_weights)


@pytest.fixture(autouse=True)
def no_model(monkeypatch, request):
    """The default model, whose classes are known without it, unless a test needs a real one."""
    if request.node.get_closest_marker("deeplab") is None:
        monkeypatch.delenv("MNST_DEEPLAB", raising=False)


@pytest.fixture
def asked(monkeypatch):
    """Finds a person in the left half of photos; holds the sizes of those that it was asked of."""
    sizes = []

    def segment(image, **_):
        pixels = mnst.images.to_uint8(mnst.load_image(image, size=None))
        height, width = pixels.shape[:2]
        sizes.append((width, height))
        labels = np.zeros((height, width), np.int32)
        labels[:, : width // 2] = PERSON
        return Segmentation(pixels, labels, PASCAL_VOC, "stand-in")

    monkeypatch.setattr(segmentation, "segment", segment)
    return sizes


def painted(image, photo=PHOTO):
    """The columns in which nearly all pixels differ from the photo, and those in which none do."""
    changed = np.any(np.asarray(image) != photo, axis=2).mean(axis=0)
    return np.flatnonzero(changed > 0.8).tolist(), np.flatnonzero(changed == 0).tolist()


@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_keep_keeps_and_only_paints(asked, options, localize):
    kept = mnst.stylize(PHOTO, STYLES, keep="person", localize=localize, **options)
    other = mnst.stylize(PHOTO, STYLES, only=["person"], localize=localize, **options)
    left, right = [*range(12 - FEATHER + 1)], [*range(12 + FEATHER - 1, 24)]
    for result, inside, outside in ((kept, left, right), (other, right, left)):
        changed, same = painted(result.image)
        assert same == inside
        assert set(outside) <= set(changed)
        assert result.settings["localized"]["kept"] == pytest.approx(0.5)
    assert asked == [(24, 20)] * 2


def test_keep_is_the_mask_of_the_class(asked):
    mask = segmentation.segment(PHOTO).mask("person")
    for keep in ("person", ["person"], PERSON, [PERSON, "person"]):
        np.testing.assert_array_equal(find_mask(PHOTO, keep=keep), mask)
    np.testing.assert_array_equal(find_mask(PHOTO, only="person"), 1 - mask)
    assert find_mask(PHOTO, mask=mask) is mask


def test_the_photo_is_searched_at_its_own_size_and_once(asked, options, tmp_path):
    large = np.kron(PHOTO, np.ones((10, 10, 1), np.uint8))
    result = mnst.stylize(large, STYLES, keep="person", size=24, **options)
    assert asked == [(240, 200)]
    content = mnst.images.to_uint8(mnst.load_image(large, size=24))
    assert painted(result.image, content)[1] == [*range(11)]
    asked.clear()
    mnst.sweep([large, PHOTO], STYLES, gamma=[0, 0.5, 1], keep="person", size=24, **options)
    assert asked == [(240, 200), (24, 20)]


def test_a_mask_comes_from_a_file(options, tmp_path):
    Image.fromarray(np.uint8(255 * LEFT)).save(tmp_path / "mask.png")
    from_file = mnst.stylize(PHOTO, STYLES, mask=tmp_path / "mask.png", **options)
    np.testing.assert_array_equal(
        from_file.image, mnst.stylize(PHOTO, STYLES, mask=LEFT, **options).image
    )
    assert painted(from_file.image)[1] == [*range(12)]


def test_style_masks_share_what_is_left_of_the_photo(asked, options):
    upper = np.broadcast_to(np.arange(20)[:, np.newaxis] < 10, (20, 24))
    result = mnst.stylize(PHOTO, STYLES, keep="person", style_masks=[upper, ~upper], **options)
    assert painted(result.image)[1] == [*range(12 - FEATHER + 1)]
    assert result.settings["localized"]["regions"] == pytest.approx([0.25, 0.25], abs=0.01)


def nobody(image, **_):
    pixels = mnst.images.to_uint8(mnst.load_image(image, size=None))
    return Segmentation(pixels, np.zeros(pixels.shape[:2], np.int32), PASCAL_VOC, "stand-in")


def test_where_there_is_nobody_a_line_says_so_and_all_is_painted(monkeypatch, options, capsys):
    monkeypatch.setattr(segmentation, "segment", nobody)
    with pytest.warns(UserWarning, match="^no person was found in the photo$") as caught:
        result = mnst.stylize(PHOTO, STYLES, keep="person", **{**options, "progress": True})
    assert caught[0].filename == __file__  # where the user asked for it
    plain = mnst.stylize(PHOTO, STYLES, **options)
    np.testing.assert_array_equal(result.image, plain.image)
    assert result.settings["localized"] is None
    assert "nothing of the photo is kept" in capsys.readouterr().err
    with (
        pytest.warns(UserWarning, match="no person was found"),
        pytest.raises(ValueError, match="only is 'person', but the photo shows none"),
    ):
        mnst.stylize(PHOTO, STYLES, only="person", **options)


def test_calibration_is_for_what_is_painted(asked, options):
    kept = mnst.calibrate(PHOTO, STYLES, keep="person", **options)
    mask = segmentation.segment(PHOTO).mask("person")
    assert kept.sigma == mnst.calibrate(PHOTO, STYLES, mask=mask, **options).sigma
    rest = mnst.calibrate(PHOTO, STYLES, only="person", **options)
    whole = mnst.calibrate(PHOTO, STYLES, keep="person", localize="composite", **options)
    assert len({kept.sigma, rest.sigma, whole.sigma}) == 3
    assert whole.sigma == mnst.calibrate(PHOTO, STYLES, **options).sigma


@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_every_frame_keeps_the_person(asked, options, localize):
    faded = mnst.crossfade(
        PHOTO, STYLES, frames=3, steps_between=2, keep="person", localize=localize, **options
    )
    assert asked == [(24, 20)]
    assert len(faded.frames) == 3
    for frame in faded.frames:
        assert painted(frame)[1] == [*range(12 - FEATHER + 1)]


@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_a_sweep_is_its_runs_one_by_one(asked, options, localize):
    common = {"keep": "person", "localize": localize, **options}
    swept = mnst.sweep(PHOTO, STYLES, gamma=[0, 0.5], **common)
    assert len(swept) == 2
    for run in swept:
        alone = mnst.stylize(PHOTO, STYLES, gamma=run.gamma, **common)
        np.testing.assert_array_equal(run.result.image, alone.image)
        assert run.result.settings == alone.settings


def test_runs_that_were_kept_are_known_by_what_was_to_be_kept(asked, options, tmp_path):
    """A mask is known by what it shows, classes by their names: nobody searches the photo again."""

    def found(**localized):
        again = mnst.sweep(PHOTO, STYLES, gamma=[0.5], folder=tmp_path, **localized, **options)
        return again[0].found

    assert not found()
    assert not found(keep="person")
    assert not found(only="person")
    assert not found(keep="person", localize="composite")
    asked.clear()
    mask = segmentation.segment(PHOTO).mask("person")
    assert not found(mask=mask)
    assert found(mask=mask.copy())
    assert not found(mask=LEFT)
    Image.fromarray(np.uint8(255 * LEFT)).save(tmp_path / "mask.png")
    assert found(mask=tmp_path / "mask.png")
    assert len(asked) == 1
    assert found(keep="person")
    assert found()


# What is refused


@pytest.mark.parametrize(
    ("localized", "said"),
    [
        ({"keep": "unicorn"}, "keep is 'unicorn': deeplabv3-mobilenetv2 knows background, aero"),
        ({"only": ["person", "unicorn"]}, "only is 'unicorn': deeplabv3-mobilenetv2 knows"),
        ({"keep": 21}, "keep is 21: deeplabv3-mobilenetv2 knows"),
        ({"keep": True}, "keep is True: deeplabv3-mobilenetv2 knows"),
        ({"keep": 1.5}, "keep is 1.5: deeplabv3-mobilenetv2 knows"),
        ({"keep": []}, r"keep is \[\]: give a class or several"),
        ({"keep": "person", "only": "dog"}, "keep and only were both given: give one of them"),
        ({"only": "person", "mask": LEFT}, "only and mask were both given"),
        ({"localize": "pasted"}, "localize is 'pasted': give one of guided, composite"),
    ],
)
@pytest.mark.parametrize("function", ["stylize", "calibrate", "crossfade", "sweep"])
def test_bad_options_are_named_before_anything_is_read(function, localized, said):
    with pytest.raises(ValueError, match=said) as raised:
        getattr(mnst, function)("no.jpg", ["a.jpg", "b.jpg"], **localized)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("function", ["stylize", "calibrate", "crossfade", "sweep"])
def test_bad_masks_are_named_before_weights_are_loaded(function, tmp_path):
    """Weights that are none: whoever loads them says so."""
    for mask, said in ((tmp_path / "no.png", "no such file"), (~LEFT | LEFT, "the whole picture")):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            getattr(mnst, function)(PHOTO, STYLES, mask=mask, weights=__file__)


def test_a_variable_that_names_no_model(monkeypatch, tmp_path):
    notes = tmp_path / "notes.tflite"
    for named, said in ((notes, "MNST_DEEPLAB names it"), (__file__, "not a model")):
        monkeypatch.setenv("MNST_DEEPLAB", str(named))
        with pytest.raises((FileNotFoundError, mnst.WeightsError), match=said):
            mnst.stylize("no.jpg", ["a.jpg"], keep="person")


def test_a_file_whose_classes_nobody_knows_takes_numbers(monkeypatch, tmp_path):
    (tmp_path / "saved_model.pb").touch()
    monkeypatch.setenv("MNST_DEEPLAB", str(tmp_path))
    check_classes([3, 15])
    with pytest.raises(ValueError, match=r"labels of .* mean: give a label's number"):
        check_classes("person")


# The command line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A photo, two styles and a mask."""
    monkeypatch.chdir(tmp_path)
    for name, picture in (("photo", PHOTO), ("a", STYLES[0]), ("b", STYLES[1])):
        mnst.save_image(f"{name}.png", picture)
    Image.fromarray(np.uint8(255 * LEFT)).save("mask.png")
    return tmp_path


PICTURES = ["photo.png", "a.png", "b.png"]


@pytest.fixture
def brief(random_weights):
    return [
        "--weights",
        str(random_weights),
        "--steps",
        "2",
        "--no-progress",
        "--recipe",
        "article",
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--keep", "person"], range(11)),
        (["--keep", "15,dog", "--localize", "composite"], range(11)),
        (["--only", "person"], range(13, 24)),
        (["--mask", "mask.png"], range(12)),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
@pytest.mark.filterwarnings("ignore:no dog was found")
def test_command_keeps(asked, folder, brief, capfd, given, kept):
    assert main(["stylize", *PICTURES, "-o", "out.png", *brief, *given]) == 0
    with Image.open("out.png") as image:
        assert painted(image)[1] == [*kept]
    by = "composite" if "composite" in given else "guided"
    assert mnst.read_settings("out.png")["localized"]["by"] == by


@pytest.mark.filterwarnings("default")
def test_command_notes_that_there_is_nobody(folder, brief, monkeypatch, capfd):
    monkeypatch.setattr(segmentation, "segment", nobody)
    assert main(["stylize", *PICTURES, "-o", "out.png", *brief, "--keep", "person"]) == 0
    assert capfd.readouterr().err == "mnst: note: no person was found in the photo\n"
    with Image.open("out.png") as image:
        assert painted(image)[1] == []


def test_commands_that_make_many_runs_keep(asked, folder, brief, capfd):
    keep = ["--keep", "person"]
    sigmas = []
    for given in (keep, []):
        assert main(["calibrate", *PICTURES, *brief, *given]) == 0
        sigmas.append(re.search("^sigma 1,(.*)$", capfd.readouterr().out, re.MULTILINE)[1])
    assert sigmas[0] != sigmas[1]
    assert main(["sweep", *PICTURES, *brief, *keep, "--gamma", "0,1", "--folder", "runs"]) == 0
    runs = [*Path("runs").glob("*-gamma*.png")]
    assert len(runs) == 2
    for path in runs:
        with Image.open(path) as image:
            assert painted(image)[1] == [*range(11)]
    given = ["--frames", "2", "--steps-between", "1", "-o", "fade.webp"]
    assert main(["crossfade", *PICTURES, *brief, *keep, *given]) == 0
    with Image.open("fade.webp") as image:
        first, second = (np.asarray(frame.convert("RGB")) for frame in Frames(image))
    # WebP changes what is kept, too, but in both alike.
    changed = np.any(first != second, axis=(0, 2))
    assert not changed[:8].any()
    assert changed[13:].all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--keep unicorn", "keep is 'unicorn': deeplabv3-mobilenetv2 knows background, aeroplane"),
        ("--keep person --mask mask.png", "keep and mask were both given"),
        ("--mask no.png", "no.png: there is no such file"),
        ("--mask a.png", "mask (a.png) is 32 x 32 pixels, but the picture is 24 x 20"),
        ("--localize pasted", "localize is 'pasted'"),
    ],
)
def test_command_refuses_in_one_line(refused, folder, given, said):
    shown = refused("stylize", *PICTURES, "-o", "out.png", *given.split())
    assert shown.startswith(f"mnst: {said}")
    assert not Path("out.png").exists()


def test_all_that_paint_share_a_vocabulary():
    shared = ("keep", "only", "mask", "localize")
    for function in (mnst.stylize, mnst.calibrate, mnst.crossfade, mnst.sweep, mnst.StyleTransfer):
        parameters = inspect.signature(function).parameters
        assert set(shared) <= set(parameters), function
        assert [parameters[name].default for name in shared] == [None, None, None, "guided"]


# The real thing


@pytest.fixture(params=["hopper", "astronaut"])
def portrait(request):
    if request.param == "astronaut":
        return pytest.importorskip("skimage.data").astronaut()
    from matplotlib import cbook

    hopper = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(hopper) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def away(portrait):
    """Where the edge of the person is further away than the feather: inside, and outside."""
    person = mnst.segment(portrait, progress=False).labels == PERSON
    feather = max(portrait.shape) / 200
    inside, outside = (ndimage.distance_transform_edt(side) > feather for side in (person, ~person))
    assert inside.mean() > 0.25
    assert outside.mean() > 0.25
    return inside, outside


@pytest.mark.slow
@pytest.mark.deeplab
@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_real_people_are_kept_byte_for_byte_and_the_rest_is_painted(portrait, away, localize):
    inside, outside = away
    result = mnst.stylize(
        portrait,
        STYLES[0],
        keep="person",
        localize=localize,
        backbone="vgg19-lite",
        size=max(portrait.shape),
        steps=3,
        progress=False,
    )
    np.testing.assert_array_equal(result.image[inside], portrait[inside])
    assert np.any(result.image[outside] != portrait[outside], axis=1).mean() > 0.95


@pytest.mark.slow
@pytest.mark.deeplab
def test_nothing_of_the_photo_is_pasted_outside(portrait, away):
    inside, outside = away
    mask = mnst.segment(portrait, progress=False).mask("person")
    green = np.full_like(portrait, (0, 255, 0))
    pasted = mnst.composite(portrait, green, mask)
    np.testing.assert_array_equal(pasted[outside], green[outside])
    np.testing.assert_array_equal(pasted[inside], portrait[inside])


@pytest.mark.deeplab
def test_unknown_class_of_a_known_file_is_noticed_before_it_runs():
    with pytest.raises(ValueError, match=r"keep is 'unicorn': deeplab.* knows background, aero"):
        mnst.stylize("no.jpg", ["a.jpg"], keep="unicorn")
