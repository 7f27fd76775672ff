"""Networks that measure pictures: VGG's against Keras' own, and models of one's own."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scenes import PHOTO, STYLES, options

import mnst
from mnst.backend import keras, tf
from mnst.networks import BACKBONES, Backbone, KerasBackbone, WeightsSource, get_backbone

SOME = [
    "block1_conv1",
    "block1_pool",
    "block2_conv2",
    "block3_conv4",
    "block5_conv2",
    "block5_pool",
]


VGG19, VGG16 = (BACKBONES[name] for name in ("vgg19", "vgg16"))


@pytest.fixture(scope="module")
def keras_vgg19(random_weights):
    return keras.applications.VGG19(include_top=False, weights=random_weights)


@pytest.fixture(scope="module")
def keras_vgg16(random_vgg16_weights):
    return keras.applications.VGG16(include_top=False, weights=random_vgg16_weights)


@pytest.fixture(scope="module")
def extractor(random_weights):
    return mnst.vgg_layers(SOME, weights=random_weights)


@pytest.fixture(scope="module")
def picture():
    """float32 [1, 45, 67, 3]: the pools meet odd sides."""
    return np.random.default_rng(8).uniform(0, 255, (1, 45, 67, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(keras_vgg19, picture):
    prepared = keras.applications.vgg19.preprocess_input(picture.copy())
    return responses(keras_vgg19, prepared, SOME)


def responses(model, prepared, names):
    outputs = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    return {name: np.asarray(value) for name, value in outputs(prepared).items()}


def relative_difference(ours, theirs):
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    return np.abs(difference).max() / np.abs(theirs).max()


def test_names_are_those_of_keras(keras_vgg19, keras_vgg16):
    for backbone, model in ((VGG19, keras_vgg19), (VGG16, keras_vgg16)):
        assert list(backbone.layers) == [layer.name for layer in model.layers[1:]]
        assert list(backbone.convolutions) == [name for name in backbone.layers if "conv" in name]


def test_vgg16_is_that_of_keras(keras_vgg16, random_vgg16_weights, picture):
    model = mnst.vgg_layers(VGG16.layers, backbone="vgg16", weights=random_vgg16_weights)
    outputs = model(picture)
    prepared = keras.applications.vgg16.preprocess_input(picture.copy())
    for name, value in responses(keras_vgg16, prepared, VGG16.layers).items():
        assert outputs[name].shape == value.shape
        assert np.abs(value).max() > 10
        assert relative_difference(outputs[name], value) < 1e-5
    assert list(outputs) == list(VGG16.layers)
    assert model.name == "vgg16"
    assert model.trainable_weights == []


def test_keras_publishes_the_weights_where_they_are_looked_for():
    """The addresses and hashes stand in the source of keras.applications, and nowhere else."""
    for backbone in (VGG19, VGG16):
        module = getattr(keras.applications, backbone.name)
        source = sys.modules[module.preprocess_input.__module__]
        assert backbone.weights.address == source.WEIGHTS_PATH_NO_TOP
        with open(source.__file__) as file:
            md5 = backbone.weights.release.digest.removeprefix("md5:")
            assert f'file_hash="{md5}"' in file.read()


@pytest.mark.parametrize("name", SOME)
def test_outputs_are_those_of_keras(extractor, picture, expected, name):
    output = extractor(picture)[name]
    assert output.dtype == "float32"
    assert output.shape == expected[name].shape
    assert np.abs(expected[name]).max() > 10
    assert relative_difference(output, expected[name]) < 1e-5


def test_outputs_have_the_names_that_were_asked_for(extractor, picture):
    assert sorted(extractor(picture)) == sorted(SOME)


def test_order_and_repetition_do_not_matter(random_weights, picture, expected):
    model = mnst.vgg_layers(
        iter(["block2_conv2", "block1_pool", "block2_conv2"]), weights=random_weights
    )
    outputs = model(picture)
    for name in ("block1_pool", "block2_conv2"):
        assert relative_difference(outputs[name], expected[name]) < 1e-5


def test_a_batch_is_taken_picture_by_picture(extractor, picture, expected):
    outputs = extractor(np.concatenate([picture, picture[:, ::-1], picture]))
    for name in SOME:
        assert relative_difference(outputs[name][2:], expected[name]) < 1e-5


def test_bfloat16_is_near_and_says_so(random_weights, picture, expected):
    outputs = mnst.vgg_layers(SOME, weights=random_weights, dtype="bfloat16")(picture)
    for name in SOME:
        assert outputs[name].dtype == "bfloat16"
        assert relative_difference(np.asarray(outputs[name], np.float32), expected[name]) < 0.05


def test_model_ends_behind_the_deepest_layer_and_is_frozen(random_weights):
    model = mnst.vgg_layers(["block3_conv2", "block1_conv1"], weights=random_weights)
    names = [layer.name for layer in model.layers]
    assert [name for name in VGG19.layers if name in names] == list(
        VGG19.layers[: VGG19.layers.index("block3_conv2") + 1]
    )
    assert model.trainable_weights == []
    assert len(model.weights) == 2 * 6
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_gradient_reaches_the_pixels(extractor, picture):
    image = tf.constant(picture)
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_mean(extractor(image)["block5_conv2"])
    gradient = tape.gradient(loss, image).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("name", ["block1_conv3", "block6_conv1", "input_1", "", "Block1_conv1"])
def test_unknown_layer(name):
    for attempt in (VGG19.check_layers, VGG19.minimum_side, mnst.vgg_layers):
        with pytest.raises(ValueError, match=f"VGG19 has no layer {name!r}") as caught:
            attempt(["block1_conv1", name])
        assert "\n" not in str(caught.value)


def test_a_layer_that_only_vgg19_has():
    with pytest.raises(ValueError, match=r"VGG16 has no layer 'block3_conv4': .* block5_conv3, or"):
        mnst.vgg_layers(["block3_conv4"], backbone="vgg16")


def test_no_layer():
    with pytest.raises(ValueError, match="no layer was named"):
        mnst.vgg_layers([])


@pytest.mark.parametrize(
    "name", ["block1_pool", "block2_conv2", "block3_conv4", "block4_conv1", "block5_conv4"]
)
def test_minimum_side_is_the_smallest_that_the_network_takes(keras_vgg19, name):
    model = keras.Model(keras_vgg19.input, keras_vgg19.get_layer(name).output)

    def positions(side):
        try:
            return np.prod(model(np.zeros((1, side, 99, 3), np.float32)).shape[1:3])
        except Exception:  # TensorFlow's pools refuse what is too small for them
            return 0

    side = VGG19.minimum_side(["block1_conv1", name])
    assert positions(side) > 0
    assert positions(side - 1) == 0


def test_minimum_side_without_a_pool():
    assert VGG19.minimum_side(["block1_conv2", "block1_conv1"]) == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("dtype_policy", "mixed_bfloat16"),
        ("image_data_format", "channels_first"),
        ("floatx", "float64"),
    ],
)
def test_global_settings_of_keras_are_not_obeyed_and_not_touched(
    random_weights, picture, expected, setting, value
):
    get, put = (getattr(keras.config, f"{verb}{setting}") for verb in ("", "set_"))
    before = get()
    put(value)
    try:
        outputs = mnst.vgg_layers(SOME, weights=random_weights)(picture)
        after = get()
    finally:
        put(before)
    assert getattr(after, "name", after) == value
    for name in SOME:
        assert outputs[name].dtype == "float32"
        assert relative_difference(outputs[name], expected[name]) < 1e-5


# Names and values


@pytest.mark.parametrize("backbone", ["vgg13", "", "VGG19", None, 7, np.zeros(3), KerasBackbone])
def test_unknown_backbone(backbone):
    with pytest.raises(ValueError, match=r"backbone is .*: give one of auto, vgg19,") as caught:
        get_backbone(backbone)
    assert "\n" not in str(caught.value)


def test_names_and_weights_are_checked_without_keras(tmp_path):
    script = """
import sys
from mnst.networks import BACKBONES, get_backbone
for name in ("auto", *BACKBONES):
    backbone = get_backbone(name)
    backbone.find_weights()
    assert backbone.minimum_side(["block5_conv1"]) == 16
    assert backbone.activations > 300
assert not {"keras", "tensorflow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_auto_is_vgg19():
    auto = get_backbone("auto")
    assert auto.name == "vgg19"
    assert auto.find_weights().backbone == VGG19
    assert "auto" not in BACKBONES


def test_a_backbone_is_a_value():
    for name, backbone in BACKBONES.items():
        assert isinstance(backbone, Backbone)
        assert get_backbone(name) is get_backbone(backbone) is backbone
        assert pickle.loads(pickle.dumps(backbone)) == backbone
        assert len({backbone, pickle.loads(pickle.dumps(backbone))}) == 1


@pytest.mark.parametrize("name", ["vgg19", "vgg16", "vgg19-lite"])
def test_channels_are_those_of_the_network(name):
    backbone = get_backbone(name)
    network = mnst.vgg_layers(backbone.layers, backbone="vgg19-lite") if "lite" in name else None
    for layer in backbone.layers:
        known = {"1": 64, "2": 128, "3": 256}.get(layer[len("block")], 512)
        assert backbone.channels(layer) == known
        if network is not None:
            assert network.output[layer].shape[-1] == known


@pytest.mark.parametrize("name", ["vgg19", "vgg16", "vgg19-lite"])
def test_activations_are_what_the_layers_hold(name, request):
    """Of the model itself, at a size that every pool halves.

    What a linear layer gives to another need not be held for the gradient.
    """
    backbone = BACKBONES[name]
    fixtures = {"vgg19": "random_weights", "vgg16": "random_vgg16_weights", "vgg19-lite": None}
    weights = fixtures[name] and request.getfixturevalue(fixtures[name])
    model = mnst.vgg_layers(backbone.layers, backbone=name, weights=weights)
    layers = [
        layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
        and getattr(layer, "activation", None) is not keras.activations.linear
    ]
    every = keras.Model(model.input, [layer.output for layer in layers])
    shapes = every.compute_output_shape((1, 64, 32, 3))
    assert sum(map(np.prod, shapes)) / (64 * 32) == backbone.activations


# Models of one's own


def own_model(**changes):
    """Two layers and a fork, with preprocessing; the second drops what has no whole window."""
    given = {"strides": 2, "padding": "same", "dtype": "float32", **changes}
    rgb = keras.Input((None, None, 3))
    early = keras.layers.Conv2D(8, 3, **given)(rgb / 255)
    late = keras.layers.Conv2D(16, 5, strides=2, dtype=given["dtype"])(early)
    return keras.Model(rgb, {"early": early, "late": late, "pooled": late[:, ::2, ::2]}, name="own")


OWN = mnst.ARTICLE.replace(
    content_layers={"late": 1.0}, style_layers={"early": 1.0, "late": 0.3}, steps=3
)


def test_a_keras_model_is_a_backbone(picture):
    model = own_model()
    backbone = get_backbone(model)
    assert isinstance(backbone, Backbone)
    assert backbone == get_backbone(model) != get_backbone(own_model())
    assert (backbone.name, backbone.precision) == ("own", "float32")
    assert backbone.check_layers(["late", "early", "late"]) == ("early", "late")
    source = backbone.find_weights().fetch()
    assert (source.origin, source.path) == ("Keras model", None)
    built = source.build(("late", "early"), "float32")
    outputs = built(picture)
    assert list(outputs) == ["early", "late"]
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, model(picture)[name])
    assert len(model.trainable_weights) == 4  # the user may go on training it


def test_a_models_minimum_side_is_the_smallest_that_it_takes():
    backbone = get_backbone(own_model())
    assert backbone.minimum_side(["early"]) == 1
    side = backbone.minimum_side(["early", "late"])
    assert backbone.model(np.zeros((1, side, side, 3)))["late"].shape == (1, 1, 1, 16)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):  # Keras' or TensorFlow's own
        backbone.model(np.zeros((1, side - 1, side - 1, 3)))


def test_a_models_activations():
    # rgb / 255, and each output; the edge of `late` is not whole.
    backbone = get_backbone(own_model())
    assert backbone.activations == pytest.approx(3 + 8 / 4 + 16 / 16 + 16 / 64, rel=0.02)
    rgb = keras.Input((None, None, 3))
    outer = get_backbone(keras.Model(rgb, {"late": backbone.model(rgb - 1)["late"]}))
    assert outer.activations == pytest.approx(3 + backbone.activations)


def test_activations_of_vgg19_as_a_model(random_weights):
    model = mnst.vgg_layers(VGG19.layers, weights=random_weights)
    preprocessing = 2 * 3
    assert get_backbone(model).activations == VGG19.activations + preprocessing
    assert get_backbone(model).minimum_side(VGG19.layers) == 32


def test_a_models_hash_is_of_its_weights_and_its_form():
    keras.utils.set_random_seed(3)
    model = own_model()
    sha256 = get_backbone(model).find_weights().sha256
    assert get_backbone(model).find_weights().sha256 == sha256
    model.set_weights([2 * value for value in model.get_weights()])
    assert get_backbone(model).find_weights().sha256 != sha256


def test_a_model_that_shares_layers_with_another_is_counted():
    rgb = keras.Input((None, None, 3))
    x, outputs = rgb, {}
    for layer in own_model().layers[1:]:
        x = outputs[layer.name] = layer(x)
    assert get_backbone(keras.Model(rgb, outputs)).activations == pytest.approx(3, rel=0.02)


def test_it_paints_with_a_model_of_ones_own():
    model = own_model()
    result = mnst.stylize(
        PHOTO, STYLES, recipe=OWN, backbone=model, precision="auto", progress=False
    )
    assert result.settings["backbone"] == "own"
    assert result.settings["precision"] == "float32"
    weights = get_backbone(model).find_weights()
    assert result.settings["weights"] == {"origin": "Keras model", "sha256": weights.sha256}
    assert result.history[-1].losses["total"] < result.history[0].losses["total"]
    again = mnst.stylize(PHOTO, STYLES, recipe=OWN, backbone=model, progress=False)
    assert np.array_equal(result.image, again.image)
    other = mnst.stylize(PHOTO, STYLES, recipe=OWN, backbone=own_model(), progress=False)
    assert not np.array_equal(result.image, other.image)


def test_what_does_not_go_with_a_model(tmp_path):
    common = {"recipe": OWN, "backbone": own_model(), "progress": False}
    with pytest.raises(ValueError, match=r"weights is w.h5, but backbone is a Keras model, which"):
        mnst.stylize(PHOTO, STYLES, **common, weights=tmp_path / "w.h5")
    with pytest.raises(ValueError, match="precision is 'bfloat16', but the Keras model 'own' comp"):
        mnst.stylize(PHOTO, STYLES, **common, precision="bfloat16")
    with pytest.raises(ValueError, match=r"'own' has no layer 'block1_conv1': .* early, late"):
        mnst.stylize(PHOTO, STYLES, **{**common, "recipe": mnst.ARTICLE})
    assert get_backbone(own_model(dtype="bfloat16")).precision == "bfloat16"


def test_models_that_cannot_measure_pictures():
    rgb = keras.Input((None, None, 3))
    fixed = keras.Input((64, 64, 3))
    convolution = keras.layers.Conv2D(4, 3)
    for model in (
        keras.Model(rgb, convolution(rgb)),
        keras.Model(fixed, {"a": convolution(fixed)}),
        keras.Model(rgb, {"a": keras.layers.GlobalAveragePooling2D()(rgb)}),
        keras.Model([rgb, fixed], {"a": convolution(rgb), "b": convolution(fixed)}),
        keras.Sequential([convolution]),
    ):
        with pytest.raises(ValueError, match="give one from pictures of any size") as caught:
            get_backbone(model)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="whose outputs are float16: give one that computes in"):
        get_backbone(own_model(dtype="float16"))


class Grey:
    """The least that is a backbone: the picture itself, in grey, at half its size."""

    name, precision, activations = "grey", None, 0.25

    def check_layers(self, names):
        return tuple(dict.fromkeys(names))

    def channels(self, name):
        return 1

    def minimum_side(self, names):
        return 2

    def find_weights(self, weights=None):
        return WeightsSource(self, "own")

    def build(self, path, layers, dtype):
        rgb = keras.Input((None, None, 3))
        grey = keras.layers.AveragePooling2D(2)(keras.ops.mean(rgb, axis=-1, keepdims=True))
        return keras.Model(rgb, {name: keras.ops.cast(grey, dtype) for name in layers})


def test_an_object_with_the_methods_is_a_backbone():
    recipe = mnst.ARTICLE.replace(content_layers={"g": 1.0}, style_layers={"g": 1.0}, steps=2)
    result = mnst.stylize(PHOTO, STYLES, **options(None, recipe=recipe, backbone=Grey()))
    assert result.settings["backbone"] == "grey"
    assert result.settings["weights"] == {"origin": "own", "sha256": None}
    assert mnst.vgg_layers(["g"], backbone=Grey())(np.zeros((1, 6, 4, 3)))["g"].shape == (
        1,
        3,
        2,
        1,
    )
