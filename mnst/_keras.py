"""Keras, on whatever backend, imported without TensorFlow's log noise.

Rooms that only build or run networks take `keras` from here, and work on every backend. Rooms that
paint need TensorFlow, and take both from `mnst._tensorflow`.
"""

import os

from mnst._noise import without_log_noise

# Painting needs TensorFlow (GradientTape, tf.function), whatever ~/.keras/keras.json says.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

with without_log_noise():
    import keras

__all__ = ["keras"]
