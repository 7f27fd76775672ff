"""Where weights come from: the order of looking, the download, and files that don't fit.

Nothing here leaves this machine: the weights' address is that of a server which the test runs. What
is true of VGG19's weights is true of VGG16's; both are tried where their names matter.
"""

import dataclasses
import gc
import hashlib
import shutil
import socket

import h5py
import numpy as np
import pytest

import mnst
from mnst.errors import WeightsError
from mnst.networks import BACKBONES, get_backbone

BODY = np.random.default_rng(3).bytes(100_000)


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    """An empty Keras home, and an environment that names no weights."""
    home = tmp_path / "keras"
    home.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(home))
    for name in ("vgg19", "vgg16"):
        monkeypatch.delenv(f"MNST_{name.upper()}_WEIGHTS", raising=False)
        publish(monkeypatch, name, address=f"http://127.0.0.1:1/{name}.h5")
    return home


def publish(monkeypatch, name, *, address, digest=None, **changes):
    """Changes what is known of the weights that Keras publishes, and leaves them in one place."""
    known = BACKBONES[name].weights
    release = dataclasses.replace(
        known.release, addresses=(address,), digest=digest or known.release.digest
    )
    weights = dataclasses.replace(known, release=release, **changes)
    backbone = dataclasses.replace(BACKBONES[name], weights=weights)
    monkeypatch.setitem(BACKBONES, name, backbone)


def find_weights(weights=None, *, backbone="auto"):
    return get_backbone(backbone).find_weights(weights)


@pytest.fixture(params=["vgg19", "vgg16"])
def name(request):
    return request.param


def put_into(folder, name="vgg19.h5", data=b"weights"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


# The order of looking


def test_argument_then_variable_then_cache_then_download(keras_home, tmp_path, monkeypatch, name):
    argument = put_into(tmp_path, "argument.h5")
    variable = put_into(tmp_path, "variable.h5")
    cached = put_into(keras_home / "models", f"{name}.h5")
    named = f"MNST_{name.upper()}_WEIGHTS"
    monkeypatch.setenv(named, str(variable))

    def found(*given):
        source = find_weights(*given, backbone=name)
        assert source.backbone == BACKBONES[name]
        return source.origin, source.path

    assert found(argument) == ("weights argument", argument)
    assert found(str(argument)) == ("weights argument", argument)
    assert found() == (named, variable)
    monkeypatch.setenv(named, "")
    assert found() == ("Keras cache", cached)
    monkeypatch.delenv(named)
    assert found() == ("Keras cache", cached)
    cached.unlink()
    assert found() == ("download", cached)


def test_only_auto_has_a_fallback(name):
    assert find_weights().backbone == BACKBONES["vgg19"]
    assert find_weights().fallback.backbone == BACKBONES["vgg19-lite"]
    assert find_weights(backbone=name).fallback is None


def test_cache_is_in_the_home_folder_unless_told(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights().path == tmp_path / ".keras" / "models" / "vgg19.h5"


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = put_into(tmp_path, "mine.h5")
    assert find_weights("~/mine.h5").path == path
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", "~/mine.h5")
    assert find_weights().path == path


def test_named_but_missing_file_is_an_error(keras_home, tmp_path, monkeypatch, name):
    put_into(keras_home / "models", f"{name}.h5")  # is no reason to look further
    variable = f"MNST_{name.upper()}_WEIGHTS"
    missing = tmp_path / "missing.h5"
    with pytest.raises(FileNotFoundError, match="but weights names it") as caught:
        find_weights(missing, backbone=name)
    assert_says(caught.value, missing, f"{name.upper()}'s weights are at")
    monkeypatch.setenv(variable, str(missing))
    with pytest.raises(FileNotFoundError, match=f"but {variable} names it") as caught:
        find_weights(backbone=name)
    assert_says(caught.value, missing)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        find_weights(tmp_path, backbone=name)


def test_named_file_is_taken_as_it_is(tmp_path):
    path = put_into(tmp_path, "mine.h5")
    assert find_weights(path).fetch().path == path
    assert path.read_bytes() == b"weights"


# The download


def fetch(name="vgg19"):
    return find_weights(backbone=name).fetch().path


def assert_says(error, *parts):
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


@pytest.fixture
def serve(server, monkeypatch):
    """Sets what the server gives as a network's weights, whose hash is that of `BODY`."""

    def serve(body=b"", *, name="vgg19", **answer):
        publish(
            monkeypatch,
            name,
            address=server.put(f"/{name}.h5", body, **answer),
            digest=f"md5:{hashlib.md5(BODY).hexdigest()}",
            timeout=0.2,
        )
        return server

    return serve


def test_download_once_and_keep(serve, keras_home, capfd, name):
    server = serve(BODY, name=name)
    assert find_weights(backbone=name).origin == "download"
    path = fetch(name)
    assert path == keras_home / "models" / f"{name}.h5"
    assert path.read_bytes() == BODY
    source = find_weights(backbone=name)
    assert (source.origin, source.path) == ("Keras cache", path)
    assert source.sha256 == hashlib.sha256(BODY).hexdigest()
    assert fetch(name) == path
    assert server.asked == [f"/{name}.h5"]
    shown = capfd.readouterr()
    assert shown.out == ""
    assert BACKBONES[name].weights.address in shown.err


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 404}, "Not Found"),
        ({"status": 500}, "Internal Server Error"),
        ({"body": BODY[::-1]}, "hash"),
        ({"body": BODY[:50_000], "length": 100_000}, "50000 bytes are missing"),
        ({"stall": "before"}, "timed out"),
        ({"body": BODY[:50_000], "length": 100_000, "stall": "after"}, "timed out"),
    ],
    ids=["404", "500", "wrong hash", "broken off", "silent", "stalled"],
)
def test_failed_download_says_what_to_do_and_leaves_nothing(
    serve, keras_home, capfd, answer, reason
):
    cached = keras_home / "models" / "vgg19.h5"

    serve(**answer)
    with pytest.raises(WeightsError) as caught:
        fetch()
    address = BACKBONES["vgg19"].weights.address
    assert_says(caught.value, reason, address, cached, "weights=", "MNST_VGG19_WEIGHTS")
    del caught  # and with it the connection
    gc.collect()
    assert capfd.readouterr().out == ""
    # Neither half a file nor a foreign one is taken for the weights the next time.
    assert not cached.exists()
    assert find_weights().origin == "download"
    serve(BODY)
    assert fetch().read_bytes() == BODY


def test_refused_connection_says_what_to_do(keras_home, name):
    with pytest.raises(WeightsError, match="refused") as caught:
        fetch(name)
    cached, title = keras_home / "models" / f"{name}.h5", name.upper()
    says = f"{title}'s weights can't be downloaded", BACKBONES[name].weights.address, cached
    assert_says(caught.value, *says, "weights=", f"MNST_{title}_WEIGHTS", "backbone='vgg19-lite'")


def test_half_a_file_in_the_cache_is_downloaded_again(serve, keras_home):
    cached = put_into(keras_home / "models", data=BODY[:50_000])  # as a killed process leaves it
    serve(BODY)
    assert fetch() == cached
    assert cached.read_bytes() == BODY


def test_other_file_in_the_cache_survives_without_a_network(keras_home):
    cached = put_into(keras_home / "models", data=b"somebody's own weights")
    with pytest.raises(WeightsError):
        fetch()
    assert cached.read_bytes() == b"somebody's own weights"


def test_timeout_is_only_for_the_download(serve):
    socket.setdefaulttimeout(77)
    try:
        serve(BODY)
        fetch()
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)


# Files and what fits into the network


@pytest.fixture(scope="module")
def legacy_weights(random_weights, tmp_path_factory):
    """The random weights in the format of Keras' own download, which Keras 3 reads and writes."""
    from keras.src.legacy.saving import legacy_h5_format

    from mnst.backend import keras

    path = tmp_path_factory.mktemp("weights") / "random.h5"
    model = keras.applications.VGG19(include_top=False, weights=None)
    model.load_weights(random_weights)
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    yield path
    path.unlink()


@pytest.fixture(params=["random_weights", "legacy_weights"])
def either_format(request):
    return request.getfixturevalue(request.param)


def kernels(file):
    """The datasets of the convolutions' kernels in an HDF5 file of weights, first to last."""
    found = []
    file.visititems(
        lambda _, item: (
            found.append(item) if isinstance(item, h5py.Dataset) and item.ndim == 4 else None
        )
    )
    return found


def test_both_formats_load(either_format):
    model = mnst.vgg_layers(["block5_conv4"], weights=either_format)
    loaded = [layer.get_weights()[0] for layer in model.layers if layer.get_weights()]
    with h5py.File(either_format) as file:
        stored = [kernel[:] for kernel in kernels(file)]
    assert len(loaded) == len(stored) == 16
    by_sum = [sorted(arrays, key=np.sum) for arrays in (loaded, stored)]
    for ours, theirs in zip(*by_sum, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_from_the_variable(random_weights, monkeypatch):
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    shallow = mnst.vgg_layers(["block1_conv1"])
    kernel, bias = shallow.get_layer("block1_conv1").get_weights()
    expected = mnst.vgg_layers(["block1_conv1"], weights=random_weights)
    np.testing.assert_array_equal(kernel, expected.get_layer("block1_conv1").get_weights()[0])
    assert np.ptp(bias) > 0


def test_kernel_of_a_wrong_shape_is_refused(either_format, tmp_path):
    path = tmp_path / either_format.name
    shutil.copy(either_format, path)
    with h5py.File(path, "r+") as file:
        kernel = kernels(file)[7]
        name, shape = kernel.name, kernel.shape
        del file[name]
        file[name] = np.zeros((5, 5, *shape[2:]), np.float32)
    refused(path)


@pytest.mark.parametrize("name", ["foreign.h5", "foreign.weights.h5"])
def test_file_of_another_network_is_refused(tmp_path, name):
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 3))
    refused(path)


@pytest.mark.parametrize("name", ["notes.h5", "notes.weights.h5", "notes.txt", "notes"])
@pytest.mark.parametrize("data", [b"", b"Remember the milk\n"])
def test_text_is_refused(tmp_path, name, data):
    refused(put_into(tmp_path, name, data))


def test_half_a_file_is_refused(either_format, tmp_path):
    data = either_format.read_bytes()
    refused(put_into(tmp_path, either_format.name, data[: len(data) // 2]))


def test_weights_of_the_other_vgg_are_refused(random_weights, random_vgg16_weights):
    refused(random_vgg16_weights)
    refused(random_weights, "vgg16")


def refused(path, name="vgg19"):
    with pytest.raises(WeightsError, match=f"not {name.upper()}'s weights") as caught:
        mnst.vgg_layers(["block1_conv1"], backbone=name, weights=path)
    assert_says(caught.value, path)
