"""The baseline: the loop of TensorFlow's style transfer tutorial, written out plainly.

https://www.tensorflow.org/tutorials/generative/style_transfer. Network, Gram matrix, loop and the
order of operations are the tutorial's. Layers, weights and optimiser are the article's, Gram
matrices are summed, and pixels are 0..255, so that it does the same mathematics as mnst.
"""

import mnst
from mnst.backend import keras, tf

ARTICLE = mnst.ARTICLE
ADAM = ARTICLE.optimizer


def vgg_layers(layer_names, weights):
    """Creates a VGG model that returns a list of intermediate output values."""
    vgg = keras.applications.VGG19(include_top=False, weights=weights)
    vgg.trainable = False
    outputs = [vgg.get_layer(name).output for name in layer_names]
    return keras.Model([vgg.input], outputs)


def gram_matrix(input_tensor):
    return tf.linalg.einsum("bijc,bijd->bcd", input_tensor, input_tensor)


def positions(output):
    return output.shape[1] * output.shape[2]


def clip(image):
    return tf.clip_by_value(image, clip_value_min=0.0, clip_value_max=255.0)


class Tutorial:
    """Paints a photo, [1, H, W, 3], in the tutorial's way; styles have equal shares."""

    def __init__(self, photo, styles, *, weights):
        layers = [layer for layer, _ in (*ARTICLE.style.layers, *ARTICLE.content.layers)]
        self.vgg = vgg_layers(layers, str(weights))
        of_photo, self.content_targets = self.extract(tf.constant(photo))
        # A summed Gram matrix grows with the picture, so a style's is brought to the photo's size.
        self.style_targets = [
            [
                gram_matrix(output) * (positions(like) / positions(output))
                for output, like in zip(self.extract(style)[0], of_photo, strict=True)
            ]
            for style in map(tf.constant, styles)
        ]
        self.image = tf.Variable(photo)
        self.opt = keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(
                ADAM.learning_rate, ADAM.decay_steps, ADAM.decay_rate
            ),
            beta_1=ADAM.beta_1,
            beta_2=ADAM.beta_2,
            epsilon=ADAM.epsilon,
        )

    def extract(self, image):
        """Returns the outputs of the style layers, and of the content layers."""
        outputs = self.vgg(keras.applications.vgg19.preprocess_input(image))
        count = len(ARTICLE.style.layers)
        return outputs[:count], outputs[count:]

    def losses(self, image):
        """Returns the total loss, and each style's."""
        outputs, contents = self.extract(image)
        grams = [gram_matrix(output) for output in outputs]
        styles = [
            tf.add_n(
                [
                    weight * tf.reduce_mean((gram - target) ** 2)
                    for (_, weight), gram, target in zip(
                        ARTICLE.style.layers, grams, targets, strict=True
                    )
                ]
            )
            for targets in self.style_targets
        ]
        content = tf.add_n(
            [
                weight * tf.reduce_mean((output - target) ** 2)
                for (_, weight), output, target in zip(
                    ARTICLE.content.layers, contents, self.content_targets, strict=True
                )
            ]
        )
        style = tf.add_n([loss / len(styles) for loss in styles])
        return ARTICLE.alpha * content + ARTICLE.beta * style, styles

    @tf.function
    def train_step(self):
        with tf.GradientTape() as tape:
            loss, _ = self.losses(self.image)
        grad = tape.gradient(loss, self.image)
        self.opt.apply_gradients([(grad, self.image)])
        self.image.assign(clip(self.image))
        return loss

    @tf.function
    def measure(self, image):
        return self.losses(image)

    def step(self) -> float:
        """Takes a step; returns the total loss of the picture before it."""
        return float(self.train_step())

    def picture(self):
        return self.image.numpy()
