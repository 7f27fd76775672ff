"""People stay themselves: labels, masks, compositing, and where the models come from.

Most tests use a toy: red is a person, green a dog, all else background. Nothing leaves this
machine: downloads come from a server that the test runs.
"""

import inspect
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import mnst
from mnst import Segmentation, SegmentationModel
from mnst.cli import main
from mnst.errors import WeightsError
from mnst.masks import hub, labelling, models
from mnst.masks.models import MODELS, PASCAL_VOC, find_model
from mnst.sources import tfhub

RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)
PERSON, DOG = 15, 12
SIDE = 32
SCALING = (127.5, -1.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    """An empty cache, and an environment that names no model."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    if request.node.get_closest_marker("deeplab") is None:
        monkeypatch.delenv("MNST_DEEPLAB", raising=False)
    return tmp_path / "cache"


def toy(square):
    """Labels a square as the toy models do."""
    labels = np.zeros(square.shape[:2], np.int64)
    labels[square[..., 0] > 150] = PERSON
    labels[square[..., 1] > 150] = DOG
    return labels


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A SavedModel that labels by colour."""
    from mnst.backend import tf

    class Toy(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, "images")])
        def label(self, images):
            red, green = (images[..., k] > 150 / 127.5 - 1 for k in (0, 1))
            return tf.where(green, DOG, tf.where(red, PERSON, 0))

    module = Toy()
    path = tmp_path_factory.mktemp("models") / "toy"
    tf.saved_model.save(module, str(path), signatures=module.label)
    return path


@pytest.fixture(scope="session")
def archive(folder):
    """The same as TensorFlow Hub packs a model."""
    path = folder.with_name("toy.tar.gz")
    with tarfile.open(path, "w:gz") as packed:
        packed.add(folder, ".")
    return path


@pytest.fixture(scope="session")
def lite(folder):
    """The same for LiteRT."""
    from mnst.backend import tf

    path = folder.with_name("toy.tflite")
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


@pytest.fixture
def model(folder):
    return SegmentationModel(str(folder), PASCAL_VOC, scaling=SCALING)


def scene(height, width, *, person=None, dog=None):
    """A blue picture with a red and a green part, which are slices."""
    picture = np.full((height, width, 3), BLUE, np.uint8)
    for part, colour in ((person, RED), (dog, GREEN)):
        if part is not None:
            picture[part] = colour
    return picture


def assert_says(error, *parts):
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


def segmented(labels, names=PASCAL_VOC, image=None):
    labels = np.asarray(labels, np.int32)
    image = np.zeros((*labels.shape, 3), np.uint8) if image is None else image
    return Segmentation(image, labels, tuple(names), "toy")


def assert_labelled(labels, picture=None):
    """Asserts that labels are the toy's, but for crumbs along the edges."""
    expected = toy(PHOTO if picture is None else picture)
    near_an_edge = ndimage.maximum_filter(expected, 3) != ndimage.minimum_filter(expected, 3)
    np.testing.assert_array_equal(labels[~near_an_edge], expected[~near_an_edge])
    assert (labels == expected).mean() > 0.99


# Which model


def test_argument_then_variable_then_default(folder, lite, monkeypatch):
    assert find_model() is MODELS[models.DEFAULT_MODEL]
    monkeypatch.setenv("MNST_DEEPLAB", str(lite))
    assert find_model() == SegmentationModel(str(lite))
    assert find_model(folder) == SegmentationModel(str(folder))
    assert find_model("deeplabv3") is MODELS["deeplabv3"]
    own = SegmentationModel(str(lite), ("other", "person"), size=64)
    assert find_model(own) is own


@pytest.mark.parametrize(
    "handle",
    [
        "deeplab-edgetpu-s",
        "https://tfhub.dev/google/edgetpu/vision/deeplab-edgetpu/default_argmax/s/1",
        "google/edgetpu/vision/deeplab-edgetpu/default_argmax/s/1",
        "https://tfhub.dev/google/edgetpu/vision/deeplab-edgetpu/default_argmax/s/1?tf-hub-format=x",
    ],
)
def test_handles_find_the_table(handle):
    assert find_model(handle) is MODELS["deeplab-edgetpu-s"]


def test_other_handles_are_taken_as_they_are():
    handle = "https://www.kaggle.com/models/somebody/something/tensorFlow2/default/1"
    assert find_model(handle) == SegmentationModel(handle)


def test_missing_model_names_who_named_it(tmp_path, monkeypatch):
    missing = tmp_path / "missing.tflite"
    with pytest.raises(FileNotFoundError, match="but model names it") as caught:
        mnst.segment(scene(8, 8), model=missing)
    assert_says(caught.value, missing, *MODELS)
    monkeypatch.setenv("MNST_DEEPLAB", str(missing))
    with pytest.raises(FileNotFoundError, match="but MNST_DEEPLAB names it"):
        mnst.segment(scene(8, 8))


def test_table_says_what_has_to_be_known():
    assert PASCAL_VOC[15] == "person"
    assert len(PASCAL_VOC) == len(set(PASCAL_VOC)) == 21
    for name, model in MODELS.items():
        assert model.address.startswith("https://")
        assert model.size in (257, 512, 513)
        assert model.scaling is not None
        assert model.license == "Apache-2.0"
        assert model.names == (() if "edgetpu" in name else PASCAL_VOC)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 2.5}, "size is 2.5"),
        ({"scaling": (0, 1)}, "scaling is"),
        ({"scaling": (1,)}, "scaling is"),
        ({"names": "person"}, "names is 'person'"),
    ],
)
def test_bad_descriptions_of_a_model(options, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        SegmentationModel("model.tflite", **options)


# Models of every kind


PHOTO = scene(48, 72, person=np.s_[10:40, 5:30], dog=np.s_[20:, 45:70])


@pytest.mark.parametrize("kind", ["folder", "archive", "lite"])
def test_every_kind_of_file_gives_the_same_labels(kind, request, capfd):
    path = request.getfixturevalue(kind)
    capfd.readouterr()
    given = SegmentationModel(path, PASCAL_VOC, scaling=SCALING)
    found = mnst.segment(PHOTO, model=given)
    assert_labelled(found.labels)
    assert found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.image, PHOTO)
    assert found.names == PASCAL_VOC
    shown = capfd.readouterr()
    assert shown.out == ""
    assert re.fullmatch(
        rf"mnst .*: {path.name} labels 72 x 48 pixels, in up to 2 tiles a side\n", shown.err
    )


def test_silent_without_progress(lite, capfd):
    given = SegmentationModel(lite, PASCAL_VOC, scaling=SCALING)
    mnst.segment(PHOTO, model=given, progress=False)
    assert capfd.readouterr() == ("", "")


def test_lite_needs_no_tensorflow(lite):
    code = (
        "import sys, mnst; import numpy as np; "
        f"model = mnst.SegmentationModel({str(lite)!r}, scaling={SCALING}); "
        "mnst.segment(np.zeros((9, 9, 3), 'uint8'), model=model, progress=False); "
        "assert 'tensorflow' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (shown.stdout, shown.stderr) == ("", "")


def test_what_a_file_does_not_say_is_asked_for(folder, lite):
    for path in (folder, lite):
        with pytest.raises(ValueError, match=r"takes floats.*scaling") as caught:
            mnst.segment(PHOTO, model=path)
        assert_says(caught.value, path, "SegmentationModel")
        given = SegmentationModel(path, scaling=SCALING, size=64)
        with pytest.raises(ValueError, match="give size=32"):
            mnst.segment(PHOTO, model=given)


def test_open_size_has_to_be_given(tmp_path):
    from mnst.backend import tf

    class Open(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
        def label(self, images):
            return tf.cast(images[..., 0] > 150, tf.int32)

    module = Open()
    tf.saved_model.save(module, str(tmp_path / "open"), signatures=module.label)
    with pytest.raises(ValueError, match="doesn't say its input's size"):
        mnst.segment(PHOTO, model=tmp_path / "open")
    found = mnst.segment(PHOTO, model=SegmentationModel(tmp_path / "open", size=20))
    np.testing.assert_array_equal(found.labels, toy(PHOTO) == PERSON)
    assert found.mask(1).max() == 1


HALVES = scene(SIDE, SIDE, person=np.s_[:, : SIDE // 2])


def test_scores_are_compared_at_the_inputs_size():
    def scored(square):
        labels = toy(square)[::2, ::2]
        return np.stack([labels == k for k in range(21)], axis=-1).astype(np.float32)

    labels = labelling.label(scored, SIDE, HALVES, background=True)
    np.testing.assert_array_equal(labels, toy(HALVES))


def test_labels_of_less_resolution_are_enlarged():
    labels = labelling.label(lambda square: toy(square)[::4, ::4], SIDE, HALVES, background=True)
    np.testing.assert_array_equal(labels, toy(HALVES))


@pytest.mark.parametrize("data", [b"", b"Remember the milk\n", b"....TFL3 and nothing more"])
def test_files_that_are_no_models(tmp_path, data):
    for name in ("model.tflite", "model.tar.gz"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError) as caught:
            mnst.segment(PHOTO, model=SegmentationModel(tmp_path / name, scaling=SCALING))
        assert_says(caught.value, tmp_path / name)


def test_folders_and_archives_without_a_model(tmp_path, cache, archive):
    (tmp_path / "empty").mkdir()
    with tarfile.open(tmp_path / "notes.tar.gz", "w:gz") as packed:
        packed.add(__file__, "notes.txt")
    data = archive.read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(data[: len(data) // 2])
    for name in ("empty", "notes.tar.gz", "half.tar.gz"):
        with pytest.raises(WeightsError) as caught:
            mnst.segment(PHOTO, model=tmp_path / name)
        assert_says(caught.value, tmp_path / name)
    assert not cache.exists() or not list(cache.iterdir())


def test_archive_can_not_write_elsewhere(tmp_path, cache):
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as packed:
        packed.add(__file__, "../../evil.txt")
    with pytest.raises(WeightsError, match="evil"):
        mnst.segment(PHOTO, model=tmp_path / "evil.tar.gz")
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list(cache.iterdir())


def test_archive_is_unpacked_once(archive, cache):
    first = tfhub.fetch(str(archive), variable="")
    before = (first / "saved_model.pb").stat()
    assert tfhub.fetch(str(archive), variable="") == first
    assert (first / "saved_model.pb").stat() == before
    assert sorted(cache.iterdir()) == [first, first.with_suffix(".sha256")]


# Downloads


@pytest.fixture
def pauses(monkeypatch):
    """What is waited between tries, without waiting; and what happens meanwhile."""
    waited, meanwhile = [], []

    def sleep(seconds):
        waited.append(seconds)
        for happen in meanwhile:
            happen()

    monkeypatch.setattr(tfhub.time, "sleep", sleep)
    return waited, meanwhile


class Download:
    """A model that the server has, in one of the two forms, and how it is asked for."""

    def __init__(self, server, path, kind):
        self.server, self.whole = server, path.read_bytes()
        self.address = f"{server.address}/{kind}"
        self.query = "lite-format=tflite" if "lite" in kind else "tf-hub-format=compressed"
        self.put(self.whole)

    def put(self, body=b"", **answer):
        self.server.put(
            f"{self.address.removeprefix(self.server.address)}?{self.query}", body, **answer
        )

    def fetch(self):
        return tfhub.fetch(self.address, variable="MNST_DEEPLAB")

    def segment(self):
        given = SegmentationModel(self.address, PASCAL_VOC, scaling=SCALING)
        return mnst.segment(PHOTO, model=given, progress=False)


@pytest.fixture(params=["toy/1", "lite-model/toy/1"], ids=["SavedModel", "LiteRT"])
def download(server, archive, lite, request):
    return Download(server, lite if "lite" in request.param else archive, request.param)


def test_download_once_and_keep(download, cache, capfd):
    found = download.segment()
    assert_labelled(found.labels)
    assert found.model == download.address
    assert_labelled(download.segment().labels)
    assert len(download.server.asked) == 1
    assert download.fetch().parent == cache
    assert capfd.readouterr() == ("", "")


def test_tensorflow_hub_finds_what_was_downloaded(server, archive):
    import tensorflow_hub

    download = Download(server, archive, "toy/1")
    assert Path(tensorflow_hub.resolve(download.address)) == download.fetch()
    assert len(server.asked) == 1


def test_cache_is_tensorflow_hubs_where_that_is_set_and_else_the_users_own(monkeypatch, tmp_path):
    from tensorflow_hub import resolver

    assert str(tfhub.cache_folder()) == resolver.tfhub_cache_dir(use_temp=True)
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tfhub.cache_folder() == tmp_path / ".cache" / "mnst" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/elsewhere")
    assert tfhub.cache_folder() == tmp_path / "elsewhere" / "mnst" / "models"


def test_model_that_was_changed_in_the_cache_is_fetched_again(download, cache):
    first = download.fetch()
    changed = first / "variables" / "variables.index" if first.is_dir() else first
    data = changed.read_bytes()
    changed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.warns(UserWarning, match="has changed since it was put there") as caught:
        assert download.fetch() == first
    assert caught[0].filename == __file__
    assert changed.read_bytes() == data
    assert len(download.server.asked) == 2


def test_archive_that_was_changed_where_it_was_unpacked_is_unpacked_again(archive, cache):
    first = tfhub.fetch(str(archive), variable="")
    (first / "more").write_text("another file")
    with pytest.warns(UserWarning, match="has changed since it was put there"):
        assert tfhub.fetch(str(archive), variable="") == first
    assert not (first / "more").exists()


def test_archive_with_anything_but_files_and_folders_is_refused(tmp_path, cache):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        odd = tarfile.TarInfo("saved_model.pb")
        odd.type, odd.linkname = kind, "/etc/hostname"
        with tarfile.open(tmp_path / "odd.tar.gz", "w:gz") as packed:
            packed.addfile(odd)
        with pytest.raises(WeightsError, match="neither a file nor a folder") as caught:
            tfhub.fetch(str(tmp_path / "odd.tar.gz"), variable="")
        assert_says(caught.value, tmp_path / "odd.tar.gz")
    assert not list(cache.iterdir())


def test_model_in_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "model.tflite")
    with pytest.raises(OSError, match="is a pipe") as caught:
        mnst.segment(PHOTO, model=tmp_path / "model.tflite")
    assert_says(caught.value, tmp_path / "model.tflite")


def test_password_in_an_address_is_not_shown(server, pauses):
    address = server.address.replace("http://", "http://user:hunter2@") + "/toy/1"
    with pytest.raises(WeightsError) as caught:
        tfhub.fetch(address, variable="MNST_DEEPLAB")
    assert_says(caught.value, server.address, "404 Not Found")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in models.display_name(SegmentationModel(address))


HALF = object()
BAD = {
    "404": ({"status": 404}, "404 Not Found", 1),
    "403": ({"status": 403}, "403 Forbidden", 4),
    "429": ({"status": 429}, "429 Too Many Requests", 4),
    "500": ({"status": 500}, "500 Internal Server Error", 4),
    "a page": ({"body": b"<html>Sign in</html>"}, "what came is", 4),
    "nothing": ({"body": b""}, "what came", 4),
    "broken off": ({"body": HALF}, "broken off", 4),
    "half": ({"body": HALF, "length": HALF}, "broken off", 4),
    "silent": ({"stall": "before"}, "timed out", 4),
    "stalled": ({"body": HALF, "stall": "after"}, "timed out", 4),
}


@pytest.mark.parametrize(("answer", "reason", "tries"), BAD.values(), ids=BAD)
def test_failed_download_says_what_to_do_and_leaves_nothing(
    download, cache, pauses, capfd, monkeypatch, answer, reason, tries
):
    if "stall" in answer:
        monkeypatch.setattr(tfhub, "TIMEOUT", 0.2)
    if answer.get("body") is HALF:
        half = download.whole[: len(download.whole) // 2]
        claimed = len(half if answer.get("length") is HALF else download.whole)
        answer = {**answer, "body": half, "length": claimed}
    download.put(**answer)
    with pytest.raises(WeightsError) as caught:
        download.fetch()
    assert_says(caught.value, reason, download.address, "model=", "--model", "MNST_DEEPLAB")
    assert len(download.server.asked) == tries
    assert pauses[0] == list(tfhub.RETRY_PAUSES[: tries - 1])
    assert sorted(tfhub.RETRY_PAUSES) == list(tfhub.RETRY_PAUSES)
    assert not cache.exists() or not list(cache.iterdir())
    assert capfd.readouterr() == ("", "")
    download.server.stalls_end.set()
    monkeypatch.setattr(tfhub, "TIMEOUT", 30)
    download.put(download.whole)
    assert_labelled(download.segment().labels)


def test_failed_download_from_the_hub_names_a_model_elsewhere(server, monkeypatch):
    """The variable takes that name, so what is said can be typed."""
    monkeypatch.setattr(models, "TENSORFLOW_HUB", server.address)
    on_hub = SegmentationModel(f"{server.address}/lite-model/toy/1", PASCAL_VOC, 32, SCALING)
    with pytest.raises(WeightsError) as caught:
        mnst.segment(PHOTO, model=on_hub)
    variable, name = re.search(r"; or set (\w+)=(\S+), which is not on", str(caught.value)).groups()
    assert_says(caught.value, "404 Not Found")
    monkeypatch.setenv(variable, name)
    assert find_model() is MODELS[name]
    assert "tfhub.dev" in MODELS[models.DEFAULT_MODEL].address
    assert "tfhub.dev" not in find_model().address
    assert find_model().names == PASCAL_VOC


def test_file_can_be_put_into_the_cache_by_hand(download, archive, pauses):
    download.put(status=404)
    with pytest.raises(WeightsError) as caught:
        download.fetch()
    into, at = (
        re.search(rf"{verb} (.*?), or", str(caught.value)) for verb in ("into", "put it at")
    )
    if at:
        Path(at[1]).parent.mkdir(exist_ok=True)
        Path(at[1]).write_bytes(download.whole)
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(into[1], filter="data")
    assert_labelled(download.segment().labels)
    assert len(download.server.asked) == 1


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_server_that_recovers_is_asked_again(download, pauses, status):
    waited, meanwhile = pauses
    download.put(status=status)
    meanwhile.append(lambda: download.put(download.whole))
    assert download.fetch().exists()
    assert waited == [tfhub.RETRY_PAUSES[0]]
    assert len(download.server.asked) == 2


def test_archive_of_something_else_is_not_kept(server, tmp_path, archive, cache, pauses):
    with tarfile.open(tmp_path / "notes.tar.gz", "w:gz") as packed:
        packed.add(__file__, "notes.txt")
    download = Download(server, archive, "toy/1")
    download.put((tmp_path / "notes.tar.gz").read_bytes())
    with pytest.raises(WeightsError, match="holds no SavedModel"):
        download.fetch()
    assert not list(cache.iterdir())
    download.put(download.whole)
    assert (download.fetch() / "saved_model.pb").is_file()


def test_refused_connection_says_what_to_do(cache, pauses):
    for address in ("http://127.0.0.1:1/model", "http://127.0.0.1:1/model.tflite"):
        with pytest.raises(WeightsError, match="refused") as caught:
            tfhub.fetch(address, variable="MNST_DEEPLAB")
        assert_says(caught.value, address, "MNST_DEEPLAB")
    assert pauses[0] == []


def test_timeout_is_only_for_the_download(download):
    socket.setdefaulttimeout(77)
    try:
        download.fetch()
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)


# Labels of a whole photo


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (37, 53), (200, 31), (16, 20000)])
def test_photos_of_any_shape(size):
    labels = labelling.label(toy, SIDE, scene(*size, person=np.s_[:, :]), background=True)
    assert labels.shape == size
    assert (labels == PERSON).all()


def test_proportions_are_kept_and_the_rest_is_grey():
    seen = []

    def watching(square):
        seen.append(square)
        return toy(square)

    labelling.label(watching, SIDE, scene(60, 120, person=np.s_[20:40, 50:70]), background=True)
    whole = seen[0]
    rows, columns = np.nonzero((whole != 127).any(axis=-1))
    assert np.ptp(columns) + 1 == SIDE
    assert np.ptp(rows) + 1 == SIDE // 2
    rows, columns = np.nonzero(whole[..., 0] > 150)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1  # a square stays one
    np.testing.assert_array_equal(seen[1], whole[:, ::-1])  # and once in the mirror
    assert {square.shape for square in seen} == {(SIDE, SIDE, 3)}


def test_photos_are_reduced_without_aliasing():
    """Black and white pixels make a grey, at any scale."""
    seen = []
    checkers = np.indices((311, 400)).sum(axis=0) % 2 * 255
    picture = np.repeat(checkers[..., np.newaxis], 3, axis=2).astype(np.uint8)
    labelling.label(
        lambda square: seen.append(square) or toy(square), SIDE, picture, background=True
    )
    assert len(seen) == 6
    for square in seen:
        np.testing.assert_allclose(square, 127, atol=6)


def short_sighted(square):
    """Overlooks what covers less than 12 pixels."""
    labels = toy(square)
    return labels if (labels == PERSON).sum() >= 12 else np.zeros_like(labels)


def narrow_minded(square):
    """Takes what fills the view for a background."""
    labels = toy(square)
    return labels if (labels == 0).any() else np.zeros_like(labels)


def labels_of(picture, run, tiles):
    levels = labelling.levels(max(picture.shape), SIDE, tiles)
    return labelling.label(run, SIDE, picture, levels, background=True)


def test_small_people_are_found_in_tiles():
    picture = scene(150, 200, person=np.s_[60:76, 90:106])
    assert not labels_of(picture, short_sighted, 1).any()
    np.testing.assert_array_equal(labels_of(picture, short_sighted, 8), toy(picture))


def test_large_people_stay_whole_in_tiles():
    picture = scene(150, 200, person=np.s_[10:140, 10:190])
    assert (labels_of(picture, narrow_minded, 8) == toy(picture)).mean() > 0.99


def test_tiles_cover_every_pixel_and_agree():
    picture = scene(150, 200, person=np.s_[30:110, 20:90], dog=np.s_[90:140, 120:190])
    np.testing.assert_array_equal(labels_of(picture, toy, 8), toy(picture))


def test_no_more_tiles_than_pixels():
    assert labelling.levels(600, 513, 4) == []
    assert labelling.levels(1024, 513, 4) == [2]
    assert labelling.levels(4000, 513, 4) == [2, 4]
    assert labelling.levels(4000, 513, 1) == []
    assert labelling.levels(40000, 513, 16) == [2, 4, 8, 16]


@pytest.mark.parametrize("tiles", [0, -1, 1.5, True])
def test_bad_tiles(tiles, folder):
    with pytest.raises(ValueError, match="tiles is"):
        mnst.segment(PHOTO, model=folder, tiles=tiles)


def test_edges_move_to_the_photos(monkeypatch):
    """A model of little resolution draws a disc ragged; the guided filter finds its outline."""
    rows, columns = np.indices((240, 240)) - 120
    picture = scene(240, 240, person=np.hypot(rows, columns) < 80)
    noise = np.random.default_rng(5).integers(-8, 9, picture.shape)
    picture = (picture + noise).clip(0, 255).astype(np.uint8)

    def wrong():
        ragged = labelling.label(
            lambda square: toy(square)[1::2, 1::2], 64, picture, background=True
        )
        return (ragged != toy(picture)).sum()

    refined = wrong()
    monkeypatch.setattr(labelling, "GuidedFilter", lambda *_, **__: lambda votes: votes)
    assert refined < wrong() / 3


def test_edges_do_not_depend_on_the_photos_size():
    """An enlarged photo has the same edges, where the model sees the same."""
    random = np.random.default_rng(6)
    shape = ndimage.gaussian_filter(random.standard_normal((300, 400)), 25) > 0
    noise = random.integers(-60, 61, (300, 400, 3))
    small = (np.where(shape[..., np.newaxis], RED, BLUE) + noise).clip(0, 255).astype(np.uint8)
    large = np.kron(small, np.ones((8, 8, 1), np.uint8))

    def ragged(square):
        return toy(ndimage.uniform_filter(square, (5, 5, 1)))[1::2, 1::2]

    expected, found = (
        labelling.label(ragged, 64, picture, background=True) for picture in (small, large)
    )
    assert 0.2 < (expected == PERSON).mean() < 0.8
    assert (found[4::8, 4::8] == expected).mean() > 0.99


# Masks


@pytest.fixture
def blob():
    random = np.random.default_rng(11).standard_normal((90, 120))
    return ndimage.gaussian_filter(random, 9) > 0.02


@pytest.mark.parametrize("feather", [1, 2, 3.5, 8])
def test_feather_is_exact_beyond_its_width(blob, feather):
    mask = segmented(PERSON * blob).mask("person", feather=feather)
    assert mask.dtype == np.float32
    inside = ndimage.distance_transform_edt(blob)
    outside = ndimage.distance_transform_edt(~blob)
    assert (mask[inside >= feather + 1e-3] == 1).all()
    assert (mask[outside >= feather + 1e-3] == 0).all()
    assert ((mask >= 0.5) == blob).all()
    ramp = (feather - 1 + inside) * blob + (feather - outside) * ~blob
    np.testing.assert_allclose(mask, np.clip(ramp / max(2 * feather - 1, 1e-6), 0, 1), atol=1e-3)
    if feather >= 2:
        assert ((mask > 0) & (mask < 1)).any()


@pytest.mark.parametrize("feather", [3, 140])
def test_feather_of_large_masks_has_no_seams(blob, feather):
    large = np.kron(blob, np.ones((10, 10), bool))
    distances = (ndimage.distance_transform_edt(side) for side in (large, ~large))
    inside, outside = (np.minimum(distance, feather) for distance in distances)
    expected = np.where(large, feather - 1 + inside, feather - outside) / (2 * feather - 1)
    mask = segmented(PERSON * large).mask(feather=feather)
    np.testing.assert_allclose(mask, expected, atol=1e-6)


@pytest.mark.parametrize("feather", [0, 0.3, 1])
def test_no_feather_is_a_hard_edge(blob, feather):
    np.testing.assert_array_equal(segmented(PERSON * blob).mask(feather=feather), blob)


def test_feather_is_some_pixels_unless_told(blob):
    mask = segmented(PERSON * blob).mask()
    np.testing.assert_array_equal(mask, segmented(PERSON * blob).mask(feather=2))
    large = segmented(np.kron(PERSON * blob, np.ones((10, 10))))
    np.testing.assert_array_equal(large.mask(), large.mask(feather=6))


def test_inverted_is_the_rest(blob):
    found = segmented(PERSON * blob)
    np.testing.assert_array_equal(found.mask(invert=True), 1 - found.mask())


def test_several_classes_make_one_mask():
    labels = np.repeat([[0, PERSON, DOG, 0]], 9, axis=0).repeat(10, axis=1)
    found = segmented(labels)
    both = found.mask(["person", "dog"], feather=2)
    np.testing.assert_array_equal(both, segmented(PERSON * (labels > 0)).mask(feather=2))
    np.testing.assert_array_equal(both, found.mask((PERSON, "dog"), feather=2))
    assert both[4, 20] == both[4, 19] == 1  # no seam between them
    np.testing.assert_array_equal(found.mask(DOG), found.mask("dog"))


def test_full_and_empty_masks():
    full = segmented(np.full((20, 30), PERSON))
    assert (full.mask() == 1).all()
    assert (full.mask(invert=True) == 0).all()
    with pytest.warns(UserWarning, match="^no person was found in the photo$"):
        mask = segmented(np.zeros((20, 30))).mask()
    assert (mask == 0).all()


def test_photo_without_people(model):
    found = mnst.segment(scene(30, 40, dog=np.s_[5:20, 5:20]), model=model, progress=False)
    with pytest.warns(UserWarning, match="no person was found") as caught:
        assert not found.mask("person").any()
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("keep", ["persn", 21, -1, ["person", "unicorn"]])
def test_unknown_class_lists_the_classes(keep):
    with pytest.raises(ValueError, match="toy knows background, aeroplane") as caught:
        segmented(np.zeros((4, 4))).mask(keep)
    assert_says(caught.value, "keep is", "person", "tvmonitor")


def test_class_of_a_model_without_names():
    found = segmented(np.full((4, 4), 7), names=())
    with pytest.raises(ValueError, match="nobody says what the labels of toy mean"):
        found.mask("person")
    assert (found.mask(7) == 1).all()
    assert found.classes == {"class 7": 1}


@pytest.mark.parametrize("feather", [-1, np.nan, np.inf])
def test_bad_feather(feather):
    with pytest.raises(ValueError, match="feather is"):
        segmented(np.zeros((4, 4))).mask("background", feather=feather)


# Masks of one's own


def test_a_mask_smaller_than_the_picture_may_have_been_rounded_as_well():
    small, large = (mnst.load_image(np.zeros((400, 605, 3), np.uint8), size=n) for n in (26, 205))
    assert mnst.load_mask(small[0, ..., 0] / 255, *large.shape[1:3]).shape == large.shape[1:3]


GREY = np.array([[0, 51, 255], [255, 102, 0]], np.uint8)


@pytest.mark.parametrize(
    "mask",
    [
        GREY,
        GREY.astype(np.int64),
        GREY[..., np.newaxis],
        GREY[np.newaxis],
        GREY[np.newaxis, ..., np.newaxis],
        GREY / 255,
        (GREY / 255).astype(np.float32),
        Image.fromarray(GREY),
        Image.fromarray(GREY).convert("RGB"),
    ],
)
def test_masks_of_every_kind(mask, tmp_path):
    loaded = mnst.load_mask(mask, 2, 3)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, GREY / 255, atol=1e-6)
    np.testing.assert_array_equal(loaded == 1, GREY == 255)
    np.testing.assert_array_equal(loaded == 0, GREY == 0)
    if isinstance(mask, Image.Image):
        mask.save(tmp_path / "mask.png")
        np.testing.assert_array_equal(mnst.load_mask(tmp_path / "mask.png", 2, 3), loaded)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.float64])
def test_ones_and_zeros_are_a_mask(kind):
    mask = np.eye(5, dtype=kind)
    np.testing.assert_array_equal(mnst.load_mask(mask, 5, 5), np.eye(5))


@pytest.mark.parametrize("factor", [0.5, 2, 3.3])
def test_masks_are_resized_and_stay_exact_inside(factor):
    mask = np.zeros((60, 90), bool)
    mask[20:50, 20:70] = True
    height, width = round(60 * factor), round(90 * factor)
    loaded = mnst.load_mask(mask, height, width)
    assert loaded.shape == (height, width)
    rows, columns = (np.arange(n) + 0.5 for n in (height, width))
    away = np.minimum.outer(
        np.abs(rows / factor - 35) - 15, np.full(width, np.inf)
    )  # distance beyond the rows' edges, in the mask's pixels
    beyond = np.maximum(away, np.abs(columns / factor - 45) - 25)
    margin = 1.5 * max(1, 1 / factor)
    assert (loaded[beyond < -margin] == 1).all()
    assert (loaded[beyond > margin] == 0).all()
    assert loaded.min() == 0
    assert loaded.max() == 1


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((10, 10)), "10 x 10 pixels, but the picture is 30 x 20"),
        (np.zeros((20, 30, 2)), "give [H, W]"),
        (np.zeros((0, 30)), "give [H, W]"),
        (np.full((20, 30), np.nan), "nan; give 0..1"),
        (np.full((20, 30), np.inf), "inf; give 0..1"),
        (np.full((20, 30), 255.0), "255; give 0..1"),
        (np.full((20, 30), -1), "-1; give 0..1"),
        (np.full((20, 30), 256), "256; give 0..255"),
    ],
)
def test_masks_that_do_not_fit(mask, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        mnst.load_mask(mask, 20, 30)
    assert_says(caught.value, "mask")


@pytest.mark.parametrize("mask", [None, 3, np.full((20, 30), "white")])
def test_masks_of_no_kind(mask):
    with pytest.raises(TypeError, match="mask"):
        mnst.load_mask(mask, 20, 30)


def test_missing_mask(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        mnst.load_mask(tmp_path / "no.png", 20, 30)


# Compositing


def test_kept_bytes_are_the_contents_and_the_rest_the_paintings(blob):
    random = np.random.default_rng(8)
    content, painted = random.integers(0, 256, (2, *blob.shape, 3), dtype=np.uint8)
    mask = segmented(PERSON * blob).mask(feather=4)
    mixed = mnst.composite(content, painted, mask)
    assert mixed.dtype == np.uint8
    inside = ndimage.distance_transform_edt(blob) > 4
    outside = ndimage.distance_transform_edt(~blob) > 4
    assert inside.any()
    assert outside.any()
    np.testing.assert_array_equal(mixed[inside], content[inside])
    np.testing.assert_array_equal(mixed[outside], painted[outside])
    low, high = np.minimum(content, painted), np.maximum(content, painted)
    assert ((mixed >= low) & (mixed <= high)).all()
    np.testing.assert_array_equal(mnst.composite(content, painted, np.ones_like(blob)), content)
    np.testing.assert_array_equal(mnst.composite(content, painted, np.zeros_like(blob)), painted)


@pytest.mark.parametrize(
    ("content", "painted", "reason"),
    [
        (np.zeros((4, 4, 3)), np.zeros((4, 4, 3), np.uint8), "content is float64"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), "painted is uint8 of shape"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), "two of the same size"),
    ],
)
def test_pictures_that_do_not_fit(content, painted, reason):
    with pytest.raises(ValueError, match=reason):
        mnst.composite(content, painted, np.ones((4, 4)))


# How it shows itself


def test_classes_are_listed_largest_first():
    labels = np.zeros((10, 10), int)
    labels[:6], labels[9, 9] = PERSON, DOG
    assert list(segmented(labels).classes.items()) == [
        ("person", 0.6),
        ("background", 0.39),
        ("dog", 0.01),
    ]
    assert repr(segmented(labels)) == (
        "<mnst.Segmentation: 10 x 10 pixels, person 60.0%, background 39.0%, dog 1.0%>"
    )


def test_overlay_leaves_the_background_and_paints_the_rest(tmp_path):
    labels = toy(PHOTO)
    found = segmented(labels, image=PHOTO)
    overlay = found.overlay()
    np.testing.assert_array_equal(overlay[labels == 0], PHOTO[labels == 0])
    assert (overlay[labels > 0] != PHOTO[labels > 0]).any(axis=-1).all()
    assert (segmented(labels, names=(), image=PHOTO).overlay()[0, 0] != PHOTO[0, 0]).any()
    found.save(tmp_path / "overlay.png")
    with Image.open(tmp_path / "overlay.png") as image:
        np.testing.assert_array_equal(np.asarray(image), overlay)
    assert mnst.read_settings(tmp_path / "overlay.png")["classes"] == found.classes


def test_notebook_picture_has_a_legend():
    found = segmented(toy(PHOTO), image=PHOTO)
    with Image.open(io.BytesIO(found._repr_png_())) as image:
        assert image.format == "PNG"
        assert min(image.size) > 100
    from matplotlib.figure import Figure

    axes = found.plot(Figure().subplots())
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [f"{name} {share:.1%}" for name, share in found.classes.items()]


# The command line


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    return "photo.png"


@pytest.fixture
def known(folder, monkeypatch):
    """Makes the toy a file that is known by its contents, named by the variable."""
    described = SegmentationModel("", PASCAL_VOC, scaling=SCALING)
    monkeypatch.setitem(models.KNOWN_CONTENTS, hub.fingerprint(folder), described)
    monkeypatch.setenv("MNST_DEEPLAB", str(folder))


def test_command_prints_classes_and_writes_a_mask(photo, known, capfd):
    assert main(["segment", photo, "--keep", "person,dog", "-o", "mask.png", "--no-progress"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    *classes, written = shown.out.splitlines()
    found_here = ("background", "person", "dog")
    assert all(
        re.match(rf"{name} +\d+\.\d\d%$", line)
        for name, line in zip(found_here, classes, strict=True)
    )
    found = mnst.segment(photo, progress=False)
    share = found.mask(["person", "dog"]).mean(dtype=float)
    assert written == f"mask.png: a mask that keeps {share:.2%} of the picture"
    with Image.open("mask.png") as image:
        expected = np.rint(255 * found.mask(["person", "dog"]))
        np.testing.assert_array_equal(np.asarray(image.convert("L")), expected)
    np.testing.assert_allclose(
        mnst.load_mask("mask.png", *PHOTO.shape[:2]), found.mask(["person", "dog"]), atol=1 / 500
    )


def test_command_writes_other_masks_and_the_overlay(photo, known, capfd):
    options = ("--keep", "15", "--invert", "--feather", "0", "-o", "mask.png")
    assert main(["segment", photo, *options]) == 0
    found = mnst.segment(photo, progress=False)
    with Image.open("mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 0] == 255, found.labels != PERSON)
    assert main(["segment", photo, "-o", "overlay.jpg"]) == 0
    assert Path("overlay.jpg").is_file()
    shown = capfd.readouterr()
    assert shown.err.count("\n") == 2  # which model, twice
    assert shown.out.endswith("\noverlay.jpg: the photo, with its classes painted over it\n")


def test_command_says_that_there_is_nobody(known, tmp_path, capfd):
    photo = str(tmp_path / "empty.png")
    Image.fromarray(scene(30, 40)).save(photo)
    assert main(["segment", photo, "--no-progress"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "no person was found"


@pytest.mark.filterwarnings("default")
def test_command_notes_that_a_mask_is_empty(known, tmp_path, capfd):
    photo, mask = str(tmp_path / "empty.png"), str(tmp_path / "mask.png")
    Image.fromarray(scene(30, 40)).save(photo)
    assert main(["segment", photo, "--keep", "person", "-o", mask, "--no-progress"]) == 0
    shown = capfd.readouterr()
    assert shown.err == "mnst: note: no person was found in the photo\n"
    assert shown.out.splitlines()[-1] == f"{mask}: a mask that keeps 0.00% of the picture"


def test_command_has_the_functions_options(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    options = set(re.findall(r"^ +(?:-\w \w+, )?--([a-z]+)", capsys.readouterr().out, re.MULTILINE))
    keywords = {
        name
        for function in (mnst.segment, Segmentation.mask)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert options == keywords | {"keep", "output", "traceback"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--keep person", "a mask needs a place: give -o FILE"),
        ("--invert -o mask.png", "--invert is for masks: give --keep"),
        ("-o mask.bmp", "must end in one of"),
        ("--model no.tflite", "no.tflite: there is no such file"),
        ("--tiles 0", "tiles is 0"),
        ("--keep unicorn -o mask.png", "keep is 'unicorn'"),
        ("--keep persn -o mask.png", "; did you mean 'person'?"),
        ("--keep person --feather -1 -o mask.png", "feather is -1.0: give a number, 0 to 1e6"),
        ("--keep person --feather 1e300 -o mask.png", "feather is 1e+300: give a number, 0 to 1e6"),
    ],
)
def test_command_refuses(photo, known, capfd, monkeypatch, options, reason):
    """Before the model is loaded, which takes seconds."""
    monkeypatch.setattr(hub, "load", None)
    assert main(["segment", photo, "--no-progress", *options.split()]) == 2
    shown = capfd.readouterr()
    assert_says(shown.err.strip(), "mnst: ", reason)
    assert not Path("mask.png").exists()


# The real thing


SHARED_FORMS = {
    "archive": "deeplabv3_mnv2_pascal_savedmodel.tar.gz",
    "LiteRT": "deeplabv3_mnv2_pascal_quant.tflite",
}


@pytest.fixture
def real():
    """The paths of the real model by form: what MNST_DEEPLAB names, and what lies beside it."""
    beside = Path(os.environ["MNST_DEEPLAB"]).parent
    found = {form: beside / name for form, name in SHARED_FORMS.items()}
    missing = [path.name for path in found.values() if not path.is_file()]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not beside MNST_DEEPLAB")
    return found


@pytest.fixture
def hopper():
    from matplotlib import cbook

    return cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


@pytest.fixture
def astronaut():
    return pytest.importorskip("skimage.data").astronaut()


@pytest.mark.deeplab
def test_real_model_from_the_variable(hopper):
    found = mnst.segment(hopper, progress=False)
    assert found.names == PASCAL_VOC
    assert found.image.shape == (600, 512, 3)
    assert 0.5 < found.classes["person"] < 0.7
    mask = found.mask("person")
    assert mask[200:560, 200:320].min() == 1  # face and uniform
    assert mask[:150, 420:].max() == 0  # the wall


@pytest.mark.slow
@pytest.mark.deeplab
@pytest.mark.parametrize("picture", ["hopper", "astronaut"])
def test_forms_of_the_real_model_agree(real, picture, request):
    photo = request.getfixturevalue(picture)
    saved_model, lite = (mnst.segment(photo, model=path, progress=False) for path in real.values())
    assert saved_model.names == lite.names == PASCAL_VOC
    assert (saved_model.labels == lite.labels).mean() >= 0.985


@pytest.mark.slow
@pytest.mark.deeplab
def test_real_model_in_a_folder_and_over_http(real, server, astronaut, tmp_path, cache):
    expected = mnst.segment(astronaut, model=real["archive"], progress=False).labels
    unpacked = tmp_path / "unpacked"
    shutil.copytree(next(kept for kept in cache.iterdir() if kept.is_dir()), unpacked)
    body = real["archive"].read_bytes()
    address = f"{server.address}/deeplabv3/1"
    server.put("/deeplabv3/1?tf-hub-format=compressed", body)
    for model in (unpacked, address):
        found = mnst.segment(astronaut, model=model, progress=False)
        np.testing.assert_array_equal(found.labels, expected)
        assert found.names == PASCAL_VOC


@pytest.mark.slow
@pytest.mark.deeplab
def test_small_person_in_a_large_photo(real, hopper):
    """Grace Hopper at 1/10 of a large photo's height: a look at the whole alone misses her."""
    noise = np.random.default_rng(1).normal((90, 110, 140), 6, (2400, 3200, 3))
    wall = noise.clip(0, 255).astype(np.uint8)
    there = np.zeros(wall.shape[:2], bool)
    there[1200:1440, 1500:1705] = True
    with Image.open(hopper) as image:
        wall[there] = np.asarray(image.convert("RGB").resize((205, 240))).reshape(-1, 3)

    def people(tiles):
        found = mnst.segment(wall, model=real["LiteRT"], tiles=tiles, progress=False)
        return found.labels == PERSON

    assert not people(1).any()
    found = people(4)
    assert found[there].mean() > 0.6
    assert not found[~ndimage.binary_dilation(there, iterations=3)].any()


@pytest.mark.slow
@pytest.mark.deeplab
@pytest.mark.filterwarnings("default")
def test_real_photo_without_people(capfd, tmp_path):
    data = pytest.importorskip("skimage.data")
    photo, mask = tmp_path / "coffee.png", tmp_path / "mask.png"
    Image.fromarray(data.coffee()).save(photo)
    given = ["segment", str(photo), "--keep", "person", "-o", str(mask), "--no-progress"]
    assert main(given) == 0
    assert capfd.readouterr().err == "mnst: note: no person was found in the photo\n"
    assert not mnst.load_mask(mask, 400, 600).any()
