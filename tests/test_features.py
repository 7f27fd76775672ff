"""VGG19's layers, against Keras' own VGG19 with its own preprocessing."""

import numpy as np
import pytest

import mnst
from mnst.backend import keras
from mnst.networks.vgg import VGG19_LAYERS, check_layers, minimum_side

SOME = [
    "block1_conv1",
    "block1_pool",
    "block2_conv2",
    "block3_conv4",
    "block5_conv2",
    "block5_pool",
]


@pytest.fixture(scope="module")
def keras_vgg19(random_weights):
    return keras.applications.VGG19(include_top=False, weights=random_weights)


@pytest.fixture(scope="module")
def extractor(random_weights):
    return mnst.vgg_layers(SOME, weights=random_weights)


@pytest.fixture(scope="module")
def picture():
    """float32 [1, 45, 67, 3]: the pools meet odd sides."""
    return np.random.default_rng(8).uniform(0, 255, (1, 45, 67, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(keras_vgg19, picture):
    model = keras.Model(
        keras_vgg19.input, {name: keras_vgg19.get_layer(name).output for name in SOME}
    )
    prepared = keras.applications.vgg19.preprocess_input(picture.copy())
    return {name: np.asarray(value) for name, value in model(prepared).items()}


def relative_difference(ours, theirs):
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    return np.abs(difference).max() / np.abs(theirs).max()


def test_names_are_those_of_keras(keras_vgg19):
    assert list(VGG19_LAYERS) == [layer.name for layer in keras_vgg19.layers[1:]]


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
    assert [name for name in VGG19_LAYERS if name in names] == list(
        VGG19_LAYERS[: VGG19_LAYERS.index("block3_conv2") + 1]
    )
    assert model.trainable_weights == []
    assert len(model.weights) == 2 * 6
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_gradient_reaches_the_pixels(extractor, picture):
    from mnst.backend import tf

    image = tf.constant(picture)
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_mean(extractor(image)["block5_conv2"])
    gradient = tape.gradient(loss, image).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("name", ["block1_conv3", "block6_conv1", "input_1", "", "Block1_conv1"])
def test_unknown_layer(name):
    for attempt in (check_layers, minimum_side, mnst.vgg_layers):
        with pytest.raises(ValueError, match=f"VGG19 has no layer {name!r}") as caught:
            attempt(["block1_conv1", name])
        assert "\n" not in str(caught.value)


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

    side = minimum_side(["block1_conv1", name])
    assert positions(side) > 0
    assert positions(side - 1) == 0


def test_minimum_side_without_a_pool():
    assert minimum_side(["block1_conv2", "block1_conv1"]) == 1


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
