"""TensorFlow, and Keras on it, imported without their log noise.

Every room that paints takes `tf` and `keras` from here, so that they are imported in one way.
TensorFlow writes lines about CPU instructions and missing CUDA drivers to the C++ standard error,
some of them before it looks at TF_CPP_MIN_LOG_LEVEL. They are kept back during the import; every
other line still comes through. Where TF_CPP_MIN_LOG_LEVEL asks for more, nothing is touched.
`mnst info` tells what those lines would have told about a GPU.
"""

from mnst._keras import keras
from mnst._noise import without_log_noise

if keras.config.backend() != "tensorflow":
    raise RuntimeError(
        f"mnst needs Keras on TensorFlow, but this process runs Keras on "
        f"{keras.config.backend()}: unset KERAS_BACKEND, or set it to tensorflow, before keras "
        f"is imported"
    )

with without_log_noise():
    import tensorflow as tf

__all__ = ["keras", "tf"]
