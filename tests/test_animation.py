import sys

import numpy as np
import pytest
from PIL import Image
from scenes import PHOTO, STYLES, options

import mnst
from mnst.painting.crossfades import Crossfade
from mnst.paintings import swirls


@pytest.fixture(scope="module")
def scene(random_weights):
    return PHOTO, STYLES, options(random_weights, steps=6)


@pytest.fixture(scope="module")
def faded(scene):
    photo, styles, options = scene
    return mnst.crossfade(photo, styles, frames=5, steps_between=2, sigma="auto", **options)


@pytest.mark.slow
def test_frames_go_from_style_2_to_style_1(faded, scene):
    photo, styles, options = scene
    assert faded.gammas == (0, 0.25, 0.5, 0.75, 1)
    assert faded.steps == 6 + 4 * 2
    start = mnst.stylize(photo, styles, gamma=0, sigma="auto", **options)
    np.testing.assert_array_equal(faded.frames[0], start.image)
    first, second = np.array(faded.relative_improvement).T
    assert first[-1] > first[0]
    assert second[-1] < second[0]


@pytest.mark.slow
def test_neighbours_are_nearer_than_runs_of_their_own(faded, scene):
    photo, styles, options = scene
    alone = mnst.sweep(photo, styles, gamma=faded.gammas, sigma="auto", **options)

    def change(frames):
        return np.mean(np.abs(np.diff(np.array(frames, float), axis=0)))

    assert change(faded.frames) < change([run.result.image for run in alone])


@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_every_frame_keeps_what_the_mask_keeps(scene, localize):
    photo, styles, options = scene
    mask = np.arange(24) < np.full((20, 1), 10)
    faded = mnst.crossfade(
        photo, styles, frames=3, steps_between=2, mask=mask, localize=localize, **options
    )
    for frame in faded.frames:
        np.testing.assert_array_equal(frame[:, :10], photo[:, :10])
        assert np.mean(frame[:, 10:] != photo[:, 10:]) > 0.8


@pytest.fixture(scope="module")
def brightening():
    """Five frames that a lossy codec can't mistake for one another."""
    light = np.linspace(0.2, 1, 5)
    picture = swirls(size=64)[:41, :49]
    frames = [(picture * share).astype(np.uint8) for share in light]
    return Crossfade(tuple(frames), tuple(light), ((1.0, 1.0),) * 5, steps=5)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_pictures_move(brightening, tmp_path, ending):
    path = tmp_path / f"fade.{ending}"
    brightening.save(path, fps=10)
    with Image.open(path) as image:
        assert image.n_frames == 8  # 5 there, 3 back
        assert image.size == (49, 41)
        image.seek(2)
        image.load()
        assert image.info["duration"] == 100
        middle = np.asarray(image.convert("RGB"), float)
    # Both lose something, 256 colours or a lossy codec, but not which frame it is.
    assert np.argmin([np.abs(middle - frame).mean() for frame in brightening.frames]) == 2
    brightening.save(path, back_and_forth=False)
    with Image.open(path) as image:
        assert image.n_frames == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio's reader
def test_a_film_holds_the_frames(brightening, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    import imageio.v3 as imageio

    path = tmp_path / "fade.mp4"
    brightening.save(path)
    frames = imageio.imread(path, plugin="FFMPEG")
    assert frames.shape == (8, 40, 48, 3)  # the codec needs even sides
    assert abs(frames[0].mean() - brightening.frames[0].mean()) < 5


def test_a_link_to_a_file_of_another_name_is_followed(brightening, tmp_path):
    (tmp_path / "fade.gif").symlink_to(tmp_path / "0c7f")
    brightening.save(tmp_path / "fade.gif")
    assert (tmp_path / "0c7f").read_bytes().startswith(b"GIF8")
    assert (tmp_path / "fade.gif").is_symlink()


def test_a_name_of_another_kind_is_named(faded, tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of \.gif, \.webp, \.mp4"):
        faded.save(tmp_path / "fade.avi")


@pytest.mark.parametrize("change", [{"frames": 1}, {"frames": 2.5}, {"steps_between": 0}])
def test_bad_numbers_are_named(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        mnst.crossfade("no.jpg", ["a.jpg", "b.jpg"], **change)


@pytest.mark.slow
def test_frames_are_calm_whatever_the_recipe_s_schedule_is(scene):
    """With a rate that does not fall, too, and the first frame as it is painted alone."""
    photo, styles, options = scene
    kept = {}
    for name, changes in {
        "constant": {"decay_rate": 1.0},
        "slow": {"decay_steps": 10_000},
    }.items():
        recipe = options["recipe"].replace(**changes)
        rates = []
        given = {**options, "recipe": recipe}
        faded = mnst.crossfade(
            photo,
            styles,
            frames=3,
            steps_between=2,
            callback=lambda record, rates=rates: rates.append((record.step, record.learning_rate)),
            **given,
        )
        kept[name] = [rate for step, rate in rates[7:] if step]
        alone = mnst.stylize(photo, styles, gamma=0, **given)
        assert np.mean(faded.frames[0] != alone.image) < 0.01
    for rates in kept.values():
        np.testing.assert_allclose(rates, 12 * 0.6**3, rtol=0.03)  # the article's, after 300 steps


@pytest.mark.parametrize("fps", [0, -1, float("inf"), float("nan"), 1e-3, 1e6, "12", None])
@pytest.mark.parametrize("ending", ["gif", "webp", "mp4"])
def test_a_rate_that_no_film_has_leaves_the_good_one(brightening, tmp_path, ending, fps):
    path = tmp_path / f"good.{ending}"
    path.write_bytes(b"a good film")
    with pytest.raises(ValueError, match=r"fps is .*: give a number, from 0.1 to 100"):
        brightening.save(path, fps=fps)
    assert path.read_bytes() == b"a good film"


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("cat > /dev/null; echo broken >&2; exit 1", "broken"),
        ("cat > /dev/null; exit 0", "it ended with 0"),  # and has written nothing
        ('cat > /dev/null; for last; do :; done; : > "$last"', "it ended with 0"),
        ("echo half > film; kill -9 $$", "it ended with -9"),
    ],
    ids=["fails", "writes nothing", "writes an empty film", "is killed"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the encoder here is a shell's script")
def test_a_film_that_was_not_encoded_leaves_the_good_one(
    brightening, tmp_path, monkeypatch, does, said
):
    pytest.importorskip("imageio_ffmpeg")
    encoder = tmp_path / "ffmpeg"
    encoder.write_text(f"#!/bin/sh\n{does}\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "good.mp4"
    path.write_bytes(b"a good film")
    with pytest.raises(OSError, match=rf"good.mp4: the frames can't be encoded \(ffmpeg: {said}"):
        brightening.save(path)
    assert path.read_bytes() == b"a good film"
    assert not [*tmp_path.glob(".mnst-*")]
