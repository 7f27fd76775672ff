"""A photo and its styles, opened once and painted: stylize, calibrate, sweep, crossfade."""
