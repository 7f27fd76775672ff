"""What TensorFlow and LiteRT write to the C++ standard error, held back."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator

_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions:"
    rb"|[IWE]\d{4} \d\d:\d\d:"  # absl: I0000 00:00:1795216468.357475 2162 port.cc:153] ...
    rb"|INFO: Created TensorFlow Lite "  # LiteRT, about its own CPU kernels
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWE] "  # TensorFlow up to 2.18
)


@contextlib.contextmanager
def without_log_noise() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and passes on all but the noise."""
    # Processes that this one starts inherit the 3, and are to be as quiet.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # a process without standard error has no noise either
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            kept = b"".join(line for line in held if not _NOISE.match(line))
            if kept:
                os.write(2, kept)
