"""Where models come from: hubs, file servers, what is asked after a failure, and what is kept.

Each hub is a server on this machine that speaks as the hub does to its own package: the paths, the
redirects to where files lie, the headers with hashes and commits. Nothing leaves the machine.
"""

import base64
import dataclasses
import gc
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from scenes import PHOTO, RECIPE, STYLES

import mnst
from mnst.errors import WeightsError
from mnst.images import DownloadError
from mnst.masks.models import MODELS, fetch_model, find_model
from mnst.networks import BACKBONES, get_backbone
from mnst.sources import hubs, tfhub
from mnst.sources.releases import RELEASES, Release

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

BODY = b"weights, " * 5000
OTHER = BODY[::-1]
SHA256 = hashlib.sha256(BODY).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TFLITE = b"\0\0\0\0TFL3" + BODY  # what a .tflite file begins with
REPOSITORY = "ana/styles"
FILE = f"hf://{REPOSITORY}/vgg/notop.h5"
MODEL = "kaggle://ana/deeplab/tfLite/default"


class Hubs(ThreadingHTTPServer):
    """Hugging Face, Kaggle and two plain file servers, at one port of this machine.

    Attributes:
        files: What the one repository and the one model hold, by path.
        plain: What plain GET requests are answered with: bytes, or where they are sent to.
        status: With what all is answered, if not with 200.
        silent: Set until answers are given.
        asked: Methods and paths, in order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        # Files lie on another host than the hub, and are asked for without its token.
        self.storage = f"http://localhost:{self.server_port}/storage"
        self.files, self.plain, self.asked = {}, {}, []
        self.status, self.silent = 200, threading.Event()
        self.silent.set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body=b"", status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def as_json(self, value):
        self.answer(json.dumps(value).encode(), Content_Type="application/json")

    def do_HEAD(self):
        self.respond()

    do_GET = do_POST = do_HEAD  # noqa: N815

    def respond(self):
        hub, path = self.server, urllib.parse.unquote(self.path)
        hub.asked.append(f"{self.command} {path}")
        hub.silent.wait(20)
        if hub.status != 200 and not path.startswith("/storage"):
            return self.answer(b"no", hub.status)
        if path.startswith("/storage/"):
            return self.storage(hub.files[path.removeprefix("/storage/")])
        if path.startswith("/v1/models.ModelApiService/"):
            return self.kaggle(path.rpartition("/")[2])
        if path.startswith(("/api/models/", f"/{REPOSITORY}/resolve/")):
            return self.hugging_face(path.partition("?")[0])
        found = hub.plain.get(path)
        if isinstance(found, str):
            return self.answer(status=302, Location=found)
        return self.answer(status=404) if found is None else self.answer(found)

    def storage(self, body):
        """Google's storage, which Kaggle leads to; Hugging Face's differs in what nobody reads."""
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        hashes = {"x_goog_hash": f"crc32c=n03x6A==,md5={md5}", "Accept_Ranges": "bytes"}
        self.answer(body, **hashes)

    def hugging_face(self, path):
        hub = self.server
        if path.endswith(f"/tree/{COMMIT}"):
            files = hub.files.items()
            return self.as_json(
                [{"type": "file", "path": name, "size": len(b), "oid": "0"} for name, b in files]
            )
        if path.startswith("/api/models/"):
            return self.as_json({"id": REPOSITORY, "sha": COMMIT, "siblings": []})
        _, _, name = path.partition("/resolve/")[2].partition("/")
        if name not in hub.files:
            return self.answer(status=404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        body = hub.files[name]
        return self.answer(
            status=302,
            Location=f"{hub.storage}/{name}",
            X_Repo_Commit=COMMIT,
            X_Linked_Etag=f'"{hashlib.sha256(body).hexdigest()}"',
            X_Linked_Size=str(len(body)),
        )

    def kaggle(self, call):
        hub = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (asked["ownerSlug"], asked["modelSlug"]) == ("ana", "deeplab")
        if call == "GetModelInstance":
            return self.as_json({"versionNumber": 3})
        if call == "ListModelInstanceVersionFiles":
            return self.as_json({"files": [{"name": name} for name in hub.files]})
        assert call == "DownloadModelInstanceVersion"
        if asked["path"] not in hub.files:
            return self.answer(b"no", 404)
        return self.answer(status=302, Location=f"{hub.storage}/{asked['path']}")

    def log_message(self, *_):
        """Keeps standard error to what is tested."""


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The hubs, with empty caches; what leads to them is set where the packages read it."""
    from huggingface_hub import constants
    from kagglesdk import kaggle_env

    for name in ("MNST_VGG19_WEIGHTS", "MNST_DEEPLAB", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    for name in ("KERAS_HOME", "TFHUB_CACHE_DIR", "KAGGLEHUB_CACHE", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(tfhub, "RETRY_PAUSES", ())
    with Hubs() as running:
        template = f"{running.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "HF_HOME" / "hub"))
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        production = kaggle_env.KaggleEnv.PROD
        monkeypatch.setitem(kaggle_env._env_to_endpoint, production, running.address)
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.silent.set()
        running.shutdown()
    gc.collect()  # the packages leave connections open


def no_network(server):
    server.shutdown()
    server.server_close()


# Hugging Face


def test_file_from_hugging_face_and_from_its_cache_without_a_network(server, tmp_path, capfd):
    server.files["vgg/notop.h5"] = BODY
    path = hubs.fetch(FILE, ".h5")
    assert path.read_bytes() == BODY
    assert path.is_relative_to(tmp_path / "HF_HOME")
    assert COMMIT in path.parts
    assert f"HEAD /{REPOSITORY}/resolve/main/vgg/notop.h5" in server.asked
    assert capfd.readouterr().out == ""
    no_network(server)
    assert hubs.fetch(FILE, ".h5") == path
    assert hubs.fetch(f"hf://{REPOSITORY}@{COMMIT}/vgg/notop.h5", ".h5") == path


def test_revision_is_the_one_that_is_asked_for(server):
    server.files["vgg/notop.h5"] = BODY
    hubs.fetch(f"hf://{REPOSITORY}@v2/vgg/notop.h5", ".h5")
    assert f"HEAD /{REPOSITORY}/resolve/v2/vgg/notop.h5" in server.asked


def test_folder_from_hugging_face(server):
    server.files |= {"deeplab/saved_model.pb": BODY, "deeplab/variables/v.index": BODY}
    server.files["readme.md"] = BODY
    folder = hubs.fetch(f"hf://{REPOSITORY}/deeplab/", ".tflite")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"saved_model.pb", "variables/v.index"}
    whole = hubs.fetch(f"hf://{REPOSITORY}", ".tflite")
    assert (whole / "deeplab" / "saved_model.pb").read_bytes() == BODY


# Kaggle


def test_file_from_kaggle_and_from_its_cache_without_a_network(server, tmp_path, capfd):
    server.files |= {"1.tflite": TFLITE, "notes.txt": BODY}
    path = hubs.fetch(f"{MODEL}/3", ".tflite")
    assert path == tmp_path / "KAGGLEHUB_CACHE/models/ana/deeplab/tfLite/default/3/1.tflite"
    assert path.read_bytes() == TFLITE
    assert hubs.fetch(f"{MODEL}/3/notes.txt", ".tflite").read_bytes() == BODY
    assert capfd.readouterr().out == ""
    no_network(server)
    assert hubs.fetch(f"{MODEL}/3", ".tflite") == path


def test_version_of_kaggle_is_the_latest_where_none_is_named(server):
    server.files["1.tflite"] = TFLITE
    assert hubs.fetch(MODEL, ".tflite").parent.name == "3"


# What an address is


@pytest.mark.parametrize(
    "text",
    [
        "hf://ana",
        "hf://",
        f"hf://{REPOSITORY}/../x.h5",
        f"{FILE}#md5=1",
        f"{FILE}#sha256=12",
        "kaggle://ana/deeplab",
        "kaggle://ana/deeplab/tfLite",
    ],
)
def test_malformed_address_is_refused_before_anything_is_asked(server, tripwire, text):
    with pytest.raises(ValueError, match=r"give (hf|kaggle|#sha256)") as caught:
        mnst.stylize("no.jpg", ["no.jpg"], weights=text)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"give (hf|kaggle|#sha256)"):
        find_model(text)
    assert server.asked == []


# What goes wrong


@pytest.mark.parametrize("address", [FILE, MODEL, f"{MODEL}/3/notop.h5"])
@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_refusal_is_one_line(server, address, status, capfd):
    server.status = status
    with pytest.raises(DownloadError) as caught:
        hubs.fetch(address, ".h5")
    assert str(status) in caught.value.reason
    assert "\n" not in caught.value.reason
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("address", [f"hf://{REPOSITORY}/none.h5", f"{MODEL}/3/none.h5"])
def test_file_that_is_not_there(server, address):
    with pytest.raises(DownloadError, match="404"):
        hubs.fetch(address, ".h5")


@pytest.mark.parametrize("address", [FILE, MODEL])
def test_silent_hub_is_given_up(server, monkeypatch, address):
    monkeypatch.setattr(hubs, "SECONDS", 0.3)
    server.silent.clear()
    with pytest.raises(DownloadError, match=r"longer than 0\.3 seconds"):
        hubs.fetch(address, ".h5")


@pytest.mark.parametrize("address", [FILE, f"{MODEL}/3"])
def test_no_network(server, address):
    no_network(server)
    with pytest.raises(DownloadError, match=r"(?i)refused"):
        hubs.fetch(address, ".h5")


@pytest.mark.parametrize(("address", "package"), [(FILE, "huggingface_hub"), (MODEL, "kagglehub")])
def test_missing_package_is_named(server, monkeypatch, address, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DownloadError, match=rf"{package} is missing; pip install 'mnst\[hubs\]'"):
        hubs.fetch(address, ".h5")


def test_hash_of_the_users_own(server):
    server.files["vgg/notop.h5"] = BODY
    assert hubs.fetch(f"{FILE}#sha256={SHA256}", ".h5").read_bytes() == BODY
    with pytest.raises(DownloadError, match="another file, by its hash"):
        hubs.fetch(f"{FILE}#sha256={SHA256[::-1]}", ".h5")
    with pytest.raises(DownloadError, match="a folder has no SHA-256"):
        hubs.fetch(f"hf://{REPOSITORY}#sha256={SHA256}", ".npz")


# VGG19


def test_weights_of_ones_own_from_both_hubs(server, monkeypatch, random_weights):
    server.files["notop.weights.h5"] = random_weights.read_bytes()
    expected = mnst.vgg_layers(["block1_conv1"], weights=random_weights).get_weights()
    addresses = f"hf://{REPOSITORY}/notop.weights.h5", "kaggle://ana/deeplab/keras/vgg19/1"
    for address in addresses:
        source = get_backbone("auto").find_weights(address)
        assert (source.origin, source.path, source.place) == ("weights argument", None, address)
        assert source.fetch().sha256 == hashlib.sha256(server.files["notop.weights.h5"]).hexdigest()
    model = mnst.vgg_layers(["block1_conv1"], weights=addresses[0])
    assert all((a == b).all() for a, b in zip(model.get_weights(), expected, strict=True))
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", addresses[0])
    assert get_backbone("vgg19").find_weights().origin == "MNST_VGG19_WEIGHTS"


@pytest.mark.parametrize("backbone", ["vgg19", "auto"])
def test_named_weights_that_can_not_be_had_are_an_error(server, backbone):
    """Nothing takes the place of what was named, as with a file that isn't there."""
    with pytest.raises(WeightsError, match="404") as caught:
        get_backbone(backbone).find_weights(FILE).fetch()
    assert FILE in str(caught.value)
    assert "let weights name the file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_students_file_has_another_ending(server):
    address = f"hf://{REPOSITORY}/student.npz"
    assert get_backbone("auto").find_weights(address).backbone.name == "vgg19-lite"
    with pytest.raises(ValueError, match=r"Keras' weights end in \.h5"):
        get_backbone("vgg16").find_weights(address)


def test_picture_is_painted_by_a_network_from_a_hub(server):
    student = BACKBONES["vgg19-lite"].weights.path.read_bytes()
    server.files["student.npz"] = student
    given = {"weights": f"hf://{REPOSITORY}/student.npz", "backbone": "vgg19-lite"}
    result = mnst.stylize(PHOTO, STYLES, recipe=RECIPE, progress=False, **given)
    assert result.settings["weights"]["origin"] == "weights argument"
    assert result.settings["weights"]["sha256"] == hashlib.sha256(student).hexdigest()


@pytest.fixture
def published(server, monkeypatch):
    """VGG19's weights in three places, whose hash is that of `BODY`; the last has them."""
    paths = ("/keras/notop.h5", "/github/notop.h5")
    places = (*(server.address + path for path in paths), FILE)
    server.files["vgg/notop.h5"] = BODY
    known = BACKBONES["vgg19"]
    release = Release("VGG19's weights", places, f"sha256:{SHA256}")
    weights = dataclasses.replace(known.weights, release=release, timeout=0.3)
    monkeypatch.setitem(BACKBONES, "vgg19", dataclasses.replace(known, weights=weights))
    return places


def fetch_vgg19():
    return get_backbone("vgg19").find_weights().fetch()


def test_first_place_that_has_the_file_is_the_last_one_asked(server, published, tmp_path):
    server.plain["/keras/notop.h5"] = f"{server.address}/elsewhere"
    server.plain["/elsewhere"] = BODY
    source = fetch_vgg19()
    assert source.path == tmp_path / "KERAS_HOME" / "models" / "notop.h5"
    assert source.sha256 == SHA256
    assert server.asked == ["GET /keras/notop.h5", "GET /elsewhere"]
    no_network(server)
    assert fetch_vgg19().path == source.path


@pytest.mark.parametrize("first", [None, OTHER, BODY[:100]], ids=["404", "wrong hash", "half"])
def test_failed_place_falls_to_the_next_and_says_so(server, published, first):
    if first is not None:
        server.plain["/keras/notop.h5"] = first
    server.plain["/github/notop.h5"] = BODY
    reason = "404 Not Found" if first is None else "what came is another file, by its hash"
    said = f"{published[0]} .{reason}.; {published[1]} is asked"
    with pytest.warns(UserWarning, match=said) as w:
        assert fetch_vgg19().sha256 == SHA256
    assert len(w) == 1
    assert w[0].filename == __file__


def test_hub_is_asked_where_servers_fail(server, published):
    with pytest.warns(UserWarning, match="is asked") as said:
        assert fetch_vgg19().sha256 == SHA256
    assert len(said) == 2


def test_all_places_are_named_where_none_has_the_file(server, published):
    server.files["vgg/notop.h5"] = OTHER
    with pytest.warns(UserWarning, match="is asked"), pytest.raises(WeightsError) as caught:
        fetch_vgg19()
    for place in published:
        assert place in str(caught.value)
    assert "404 Not Found, from" in str(caught.value)
    assert "another file, by its hash, from hf://" in str(caught.value)
    assert "\n" not in str(caught.value)


# DeepLab


def test_deeplab_from_both_hubs(server, monkeypatch):
    server.files["deeplab.tflite"] = TFLITE
    monkeypatch.setenv("MNST_DEEPLAB", f"hf://{REPOSITORY}/deeplab.tflite")
    assert fetch_model(find_model()).read_bytes() == TFLITE
    assert fetch_model(find_model(MODEL)).read_bytes() == TFLITE


def test_saved_model_from_hugging_face_as_a_folder_and_as_an_archive(server):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        graph = tarfile.TarInfo("saved_model.pb")
        graph.size = len(BODY)
        archive.addfile(graph, io.BytesIO(BODY))
    server.files |= {"folder/saved_model.pb": BODY, "packed.tar.gz": packed.getvalue()}
    for path in ("folder/", "packed.tar.gz"):
        found = fetch_model(find_model(f"hf://{REPOSITORY}/{path}"))
        assert (found / "saved_model.pb").read_bytes() == BODY


def test_tensorflow_hub_leads_to_where_the_archive_lies(server, monkeypatch):
    """As tfhub.dev does, which answers with a redirect."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        graph = tarfile.TarInfo("saved_model.pb")
        graph.size = len(BODY)
        archive.addfile(graph, io.BytesIO(BODY))
    server.plain["/ana/deeplab/1?tf-hub-format=compressed"] = f"{server.address}/packed"
    server.plain["/packed"] = packed.getvalue()
    found = tfhub.fetch(f"{server.address}/ana/deeplab/1", variable="MNST_DEEPLAB")
    assert (found / "saved_model.pb").read_bytes() == BODY


def test_kaggle_is_asked_where_tensorflow_hub_refuses(server, monkeypatch):
    name = "deeplabv3-mobilenetv2"
    places = (f"{server.address}/refused/lite-model/1", MODEL)
    monkeypatch.setitem(RELEASES, name, Release(places[0], places))
    model = dataclasses.replace(MODELS[name], address=places[0])
    server.files["default.tflite"] = TFLITE
    with pytest.warns(UserWarning, match=f"404 Not Found.; {MODEL} is asked"):
        assert fetch_model(model).read_bytes() == TFLITE
    server.status = 403
    with pytest.warns(UserWarning, match="is asked"), pytest.raises(WeightsError) as caught:
        fetch_model(model)
    assert "403 Forbidden, from http://127" in str(caught.value)
    assert f"from {MODEL}" in str(caught.value)
    assert "MNST_DEEPLAB" in str(caught.value)


def test_models_in_the_table_are_known_by_their_addresses_on_hubs():
    for name, model in MODELS.items():
        for address in RELEASES[name].addresses:
            found = find_model(address)
            assert found == dataclasses.replace(model, address=address)


def test_every_address_in_the_table_is_one():
    for release in RELEASES.values():
        for address in release.addresses:
            assert address.startswith("https://") or hubs.parse("address", address)


# The environment, as packages read it when they are imported


def test_homes_are_obeyed(server, tmp_path):
    server.files |= {"vgg/notop.h5": BODY, "1.tflite": TFLITE}
    code = (
        "from mnst.sources import hubs; from pathlib import Path\n"
        f"print(hubs.fetch({FILE!r}, '.h5'), hubs.fetch('{MODEL}/3', '.tflite'))\n"
        "import sys; assert 'tensorflow' not in sys.modules\n"
    )
    endpoint = (
        "from kagglesdk import kaggle_env as k\n"
        f"k._env_to_endpoint[k.KaggleEnv.PROD] = {server.address!r}\n"
    )
    there = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf")}
    there |= {"KAGGLEHUB_CACHE": str(tmp_path / "kaggle"), "HF_HUB_DISABLE_XET": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", endpoint + code],
        env={**os.environ, **there},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(Path, ended.stdout.split())
    assert first.is_relative_to(tmp_path / "hf")
    assert second.is_relative_to(tmp_path / "kaggle")
