"""Many photos: from folders, patterns, iterators, read in turn; parted among many machines."""

import contextlib
import functools
import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scenes
from scenes import PHOTO, STYLES

import mnst


@pytest.fixture(scope="module")
def options(random_weights):
    return {**scenes.options(random_weights), "steps": 1}


def photo(seed):
    return np.random.default_rng(seed).integers(0, 256, PHOTO.shape, np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with five of them, and what is none."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(5):
        mnst.save_image(folder / f"{'edcba'[k]}.png", photo(k))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "deeper").mkdir()
    mnst.save_image(folder / "deeper" / "f.png", photo(5))
    return folder


@pytest.fixture(scope="module")
def serial(photos, options):
    return mnst.sweep([photos / f"{name}.png" for name in "abcde"], STYLES, **options)


def pictures(swept):
    return [run.result.image.tobytes() for run in swept]


# Where they come from


@pytest.mark.parametrize(
    "given",
    [
        lambda folder: folder,
        lambda folder: f"{folder}/",
        lambda folder: f"{folder}/*.png",
        lambda folder: folder / "[a-e].png",
        lambda folder: (folder / f"{name}.png" for name in "abcde"),
        lambda folder: map(photo, [4, 3, 2, 1, 0]),
        lambda folder: ((folder / f"{name}.png").read_bytes() for name in "abcde"),
    ],
    ids=["folder", "with a slash", "pattern", "letters", "paths", "arrays", "bytes"],
)
def test_photos_come_from_wherever_they_are(photos, serial, options, given):
    assert pictures(mnst.sweep(given(photos), STYLES, **options)) == pictures(serial)


def test_a_pattern_may_go_deeper(photos, serial, options):
    swept = mnst.sweep(f"{photos}/**/[af].png", STYLES, **options)
    assert [run.name for run in swept] == ["a", "f"]
    assert swept[0].result.image.tobytes() == pictures(serial)[0]


@pytest.mark.parametrize("nowhere", ["deeper/deepest", "*.jpg"])
def test_a_place_without_pictures_is_named(photos, options, nowhere):
    (photos / "deeper" / "deepest").mkdir(exist_ok=True)
    with pytest.raises(FileNotFoundError, match="there are no pictures"):
        mnst.sweep(photos / nowhere, STYLES, **options)


def test_an_iterator_without_photos_is_named(options):
    with pytest.raises(ValueError, match="nothing to run: the iterator"):
        mnst.sweep(iter(()), STYLES, **options)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_photo_is_read_when_its_turn_comes(serial, photos, options, tmp_path, threads):
    """Beyond those that somebody works at, none is asked for before others are written."""
    asked, most = 0, 2 * threads + 1

    def coming():
        nonlocal asked
        for name in "abcde":
            written = len([*tmp_path.glob("*.png")])
            assert asked - written <= most
            asked += 1
            yield photos / f"{name}.png"

    with ThreadPoolExecutor(threads) if threads else contextlib.nullcontext() as executor:
        given = {"folder": tmp_path, "executor": executor, **options}
        swept = mnst.sweep(coming(), STYLES, **given)
    assert asked == 5
    assert pictures(swept) == pictures(serial)


@pytest.mark.filterwarnings("ignore:.* failed and is left out")
def test_a_photo_that_can_t_be_read_ends_no_other(serial, photos, options, tmp_path):
    """Not even the first: gone, damaged, or none at all."""
    (tmp_path / "half.png").write_bytes((photos / "a.png").read_bytes()[:300])
    given = [
        tmp_path / "gone.png",
        tmp_path / "half.png",
        photos / "notes.txt",
        *(photos / f"{name}.png" for name in "abcde"),
        None,
        PHOTO[:1, :9],
    ]
    swept = mnst.sweep(given, STYLES, folder=tmp_path / "runs", **options)
    assert pictures(swept) == pictures(serial)
    said = ["no such file", "half.png", "not a picture", "NoneType", "too small"]
    assert [failure.place for failure in swept.failures] == [0, 1, 2, 8, 9]
    for failure, words in zip(swept.failures, said, strict=True):
        assert words in failure.error
    rows = swept.table()
    assert [row["photo"] for row in rows] == [*range(1, 11)]
    assert [row["name"] for row in rows[:4]] == ["gone", "half", "notes", "a"]


def test_where_no_photo_can_be_read_the_first_ones_error_is_raised(tmp_path, options):
    with pytest.raises(FileNotFoundError, match=r"gone\.png: there is no such file"):
        mnst.sweep([tmp_path / "gone.png", None], STYLES, **options)


def test_a_photo_that_changes_before_its_turn_is_noticed(photos, options, tmp_path):
    """What is written would else be called another's."""
    place = tmp_path / "a.png"
    place.write_bytes((photos / "a.png").read_bytes())
    spoil = functools.partial(mnst.save_image, place, photo(9))
    given = {**options, "gamma": [0, 0.25, 0.5, 0.75, 1], "callback": lambda record: spoil()}
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.warns(UserWarning, match=r"a\.png: has changed while the sweep went on"),
    ):
        swept = mnst.sweep(place, STYLES, executor=executor, **given)
    assert len(swept) + len(swept.failures) == 5
    whole = mnst.sweep(photos / "a.png", STYLES, **{**given, "callback": None})
    assert pictures(swept) == pictures(whole)[: len(swept)]


# What is kept


def test_what_is_in_a_folder_is_not_in_memory(options, tmp_path):
    """Twelve photos of 3 MB each leave less behind than two of them take."""
    given = {"folder": tmp_path, **options, "size": 16}
    large = np.zeros((1000, 1000, 3), np.uint8)

    def coming(count):
        for k in range(count):
            shown = large.copy()
            shown[:500] = k
            yield shown

    mnst.sweep(coming(2), STYLES, **given)
    gc.collect()
    tracemalloc.start()
    try:
        swept = mnst.sweep(coming(12), STYLES, **given)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(swept) == 12
    assert kept < 6e6


def test_a_result_is_read_from_its_file_when_it_is_asked_for(photos, serial, options, tmp_path):
    swept = mnst.sweep(photos, STYLES, folder=tmp_path, **options)
    assert pictures(swept) == pictures(serial)
    file = tmp_path / next(tmp_path.glob("b-*.png")).name
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)
    with pytest.raises(ValueError, match=r"b-.*is damaged; remove it, and sweep again"):
        swept[1].result  # noqa: B018
    assert len(swept.table()) == 5
    file.unlink()
    again = mnst.sweep(photos, STYLES, folder=tmp_path, **options)
    assert [run.found for run in again] == [True, False, True, True, True]
    assert pictures(again) == pictures(serial)


def test_runs_are_found_wherever_their_photos_lie_and_whatever_their_order(
    photos, options, tmp_path
):
    mnst.sweep(photos, STYLES, folder=tmp_path, **options)
    turned = [(photos / f"{name}.png") for name in "edcba"]
    swept = mnst.sweep(turned, STYLES, folder=tmp_path, **options)
    assert all(run.found for run in swept)
    assert [run.name for run in swept] == [*"edcba"]


def test_a_sheet_has_the_first_hundred(serial):
    many = mnst.Sweep(serial.runs * 50)
    few = mnst.Sweep((serial.runs * 50)[:100])
    assert many.grid(columns=10, width=24).size == few.grid(columns=10, width=24).size
