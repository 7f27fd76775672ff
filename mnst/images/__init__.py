"""Pictures in and out: float32 arrays [1, H, W, 3], RGB, 0..255 inside; files outside."""

from mnst.images.arrays import check_arrays_place
from mnst.images.downloading import DownloadError, download_into, is_address
from mnst.images.files import (
    check_place,
    file_digest,
    named,
    open_file,
    replacing,
    sha256,
    write_atomically,
)
from mnst.images.reading import (
    describe,
    fetched,
    file_bytes,
    is_named_as_picture,
    load_image,
    load_with_alpha,
    long_side,
    name_of,
    opened,
    resize_image,
    resize_to,
    to_uint8,
)
from mnst.images.seams import without_seams
from mnst.images.transparency import on_white, with_alpha
from mnst.images.writing import (
    FORMATS,
    check_fits,
    check_output,
    encode,
    encode_with_settings,
    read_settings,
    save_image,
    side_by_side,
)

__all__ = [
    "FORMATS",
    "DownloadError",
    "check_arrays_place",
    "check_fits",
    "check_output",
    "check_place",
    "describe",
    "download_into",
    "encode",
    "encode_with_settings",
    "fetched",
    "file_bytes",
    "file_digest",
    "is_address",
    "is_named_as_picture",
    "load_image",
    "load_with_alpha",
    "long_side",
    "name_of",
    "named",
    "on_white",
    "open_file",
    "opened",
    "read_settings",
    "replacing",
    "resize_image",
    "resize_to",
    "save_image",
    "sha256",
    "side_by_side",
    "to_uint8",
    "with_alpha",
    "without_seams",
    "write_atomically",
]
