"""The command line: `mnst stylize`, `calibrate`, `sweep`, `crossfade`, `figures`, and more.

Bad input ends in one line on standard error and exit code 2, never in a traceback, unless one is
asked for by `--traceback`.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import platform
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mnst import __version__, figures, images, paintings
from mnst.checks import check_folder, did_you_mean, shown
from mnst.engine import devices
from mnst.errors import LISTENER, WeightsError, one_line, tell
from mnst.learning.controls import Controls
from mnst.learning.live import Live, live
from mnst.masks import Classes
from mnst.masks.models import find_model
from mnst.masks.segmentation import Segmentation, check_feather, segment
from mnst.masks.selection import check_classes
from mnst.networks import VGG19, get_backbone
from mnst.networks.distillation import distill
from mnst.painting.calibration import calibrate
from mnst.painting.crossfades import check_animation, crossfade
from mnst.painting.mixture import Mixture
from mnst.painting.plan import plan
from mnst.painting.repeating import source_of
from mnst.painting.result import Result
from mnst.painting.signatures import described
from mnst.painting.transfer import stylize
from mnst.recipes import get_recipe
from mnst.sources.releases import release_at
from mnst.studio.app import serve
from mnst.sweeping.sweeps import sweep

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_DEMO_SIZE = 384


def _numbers(text: str) -> float | list[float]:
    """Reads "0.4" as a number and "0.5,0.3,0.2" as a list."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)}: give numbers, as in 0.5,0.3,0.2"
        ) from None
    return values if "," in text else values[0]


def _gamma(text: str) -> Any:
    """Reads "0.4", "0.5,0.3,0.2", a map's name or a path, and all of them by name, "form=0.8"."""
    if "=" not in text:
        return _shares_or_map(text)
    named = (part.split("=") for part in re.split(r",(?=[^,]*=)", text))
    try:
        return {name: _shares_or_map(of_name) for name, of_name in named}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)}: give gammas by name, as in colour=0.2,form=0.8"
        ) from None


def _shares_or_map(text: str) -> float | list[float] | str:
    """Reads numbers; any other text without a comma is a map's name or a path."""
    try:
        return _numbers(text)
    except argparse.ArgumentTypeError:
        if "," in text:
            raise
        return text


def _shares(text: str) -> list[float]:
    return _listed(_numbers(text))


def _gamma_or_picture(text: str) -> Any:
    """Reads what `_gamma` does, and the path of a picture."""
    try:
        return _gamma(text)
    except argparse.ArgumentTypeError:
        if "=" in text:
            raise
        return text


def _gammas(text: str) -> list[Any] | dict[str, list[Any]]:
    """Reads "0,0.5,1" as gammas of two styles, "1,0,0;0,1,0" as any gammas, one after the other.

    "colour=0,0.5,1,form=0,0.5,1" are two crossfaders, to be crossed.
    """
    if ";" in text:
        return [_gamma_or_picture(each) for each in text.split(";")]
    gamma = _gamma_or_picture(text)
    if isinstance(gamma, dict):
        return {name: _listed(each) for name, each in gamma.items()}
    return _listed(gamma)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _classes(text: str) -> list[str | int]:
    """Reads "person,15" as names of classes and numbers of labels."""
    return [int(part) if re.fullmatch("[0-9]{1,9}", part) else part for part in text.split(",")]


def _colours(text: str) -> str | int:
    """Reads "2" as the number of a style."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def _sigma(text: str) -> list[float] | str:
    return text if text == "auto" else _shares(text)


def _shard(text: str) -> tuple[int, ...]:
    """Reads "3/100"."""
    if not re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{shown(text)}: give a part of all, as in 3/100")
    return tuple(map(int, text.split("/")))


# How an option is read from text, where it isn't a text itself. Which options a command has, their
# defaults, and what they mean are read off the function's own signature and description.
_READ: dict[str, dict[str, Any]] = {
    "gamma": {"type": _gamma, "metavar": "G"},
    "sigma": {"type": _sigma, "metavar": "S1,S2"},
    "recipe": {"metavar": "NAME[,FIELD=VALUE]"},
    "strength": {"type": float, "metavar": "S"},
    "style_size": {"type": _numbers, "metavar": "X"},
    "colours": {"type": _colours, "metavar": "WHOSE"},
    "steps": {"type": int, "metavar": "N"},
    "size": {"type": int, "metavar": "PIXELS"},
    "init": {"metavar": "START"},
    "seed": {"type": int, "metavar": "N"},
    "keep": {"type": _classes, "metavar": "CLASS,.."},
    "only": {"type": _classes, "metavar": "CLASS,.."},
    "mask": {"metavar": "FILE"},
    "seamless": {"action": "store_true"},
    "localize": {"metavar": "HOW"},
    "backbone": {"metavar": "NAME"},
    "weights": {"metavar": "FILE"},
    "precision": {"metavar": "P"},
    "memory": {"metavar": "BYTES"},
    "progress": {"action": argparse.BooleanOptionalAction},
    "log_dir": {"metavar": "FOLDER"},
    "checkpoint": {"metavar": "FILE"},
    "file_names": {"action": "store_true"},
    "method": {"metavar": "HOW"},
    "refine": {"type": int, "metavar": "N"},
    "tolerance": {"type": float, "metavar": "T"},
    "alpha_beta": {"type": _shares, "metavar": "R,R"},
    "model": {"metavar": "MODEL"},
    "tiles": {"type": int, "metavar": "N"},
    "invert": {"action": "store_true"},
    "feather": {"type": float, "metavar": "PIXELS"},
    "folder": {"metavar": "FOLDER"},
    "processes": {"type": int, "metavar": "N"},
    "shard": {"type": _shard, "metavar": "N/OF"},
    "collect": {"action": "store_true"},
    "path": {"type": _gamma_or_picture, "nargs": "+", "metavar": "G"},
    "frames": {"type": int, "metavar": "N"},
    "steps_between": {"type": int, "metavar": "N"},
    "seconds": {"type": float, "metavar": "S"},
    "resume": {"metavar": "FILE"},
    "fit_crops": {"type": int, "metavar": "N"},
    "batch": {"type": int, "metavar": "N"},
    "side": {"type": int, "metavar": "PIXELS"},
    "learning_rate": {"type": float, "metavar": "R"},
    "port": {"type": int, "metavar": "N"},
    "browser": {"action": argparse.BooleanOptionalAction},
    "visitors": {"type": int, "metavar": "N"},
    "host": {"metavar": "ADDRESS"},
}
# What most people never need is shown last.
_FOR_EXPERTS = "options for experts"
_OF_EXPERTS = (
    "backbone",
    "weights",
    "precision",
    "memory",
    "localize",
    "init",
    "seed",
    "log_dir",
    "checkpoint",
    "file_names",
    "alpha_beta",
    "shard",
    "collect",
    "steps_between",
    "resume",
    "model",
    "tiles",
    "host",
    "visitors",
)
_EXAMPLES = {
    "stylize": (
        "mnst stylize photo.jpg graffiti.jpg ink.jpg --gamma 0.4 -o out.png",
        "mnst stylize photo.jpg graffiti.jpg --recipe draft --strength 0.4 -o draft.png",
        "mnst stylize photo.jpg ink.jpg --keep person --colours photo -o out.png",
        "mnst stylize photos/*.jpg --styles graffiti.jpg ink.jpg -o painted",
    ),
    "crossfade": (
        "mnst crossfade photo.jpg graffiti.jpg ink.jpg --sigma auto -o fade.gif",
        "mnst crossfade photo.jpg graffiti.jpg ink.jpg --path 0 1 0 --frames 48 -o fade.webp",
    ),
    "live": (
        "mnst live photo.jpg graffiti.jpg ink.jpg --sigma auto -o fade.webp",
        "mnst live photo.jpg graffiti.jpg ink.jpg --save learnt.npz -o fade.gif",
    ),
    "sweep": (
        "mnst sweep photo.jpg graffiti.jpg ink.jpg --gamma 0,0.5,1 --folder runs",
        "mnst sweep photos/ graffiti.jpg ink.jpg --gamma 0.4 --folder painted --processes 2",
    ),
    "segment": (
        "mnst segment photo.jpg -o found.png",
        "mnst segment photo.jpg --keep person -o mask.png",
    ),
    "app": ("mnst app", "mnst app --port 8000 --no-browser"),
    "demo": ("mnst demo", "mnst demo pictures --gamma 0.3 --recipe draft"),
}
# What only Python can give.
_NOT_ON_THE_COMMAND_LINE = ("callback", "executor", "preview", "style_masks", "widths")


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and what may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Ends with one line, without the usage that argparse puts above it."""
        tell(f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help")
        sys.exit(BAD_INPUT)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuses what is not known here, rather than to hand it up to where no option is known."""
        for each in args or ():
            if re.fullmatch("--.*=--", each, re.DOTALL):  # argparse would take it for an empty list
                self.error(f"argument {each[:-3]}: expected one argument")
        known, others = super().parse_known_args(args, namespace)
        if others:
            option = others[0].partition("=")[0]
            meant = did_you_mean(option, self._option_string_actions) if option[:1] == "-" else ""
            self.error(f"unrecognized arguments: {' '.join(others)}{meant}")
        return known, others

    def format_help(self) -> str:
        """Has only what is needed in the first line: all else is listed below it."""
        if self.usage is None:
            needed = [each for each in self._actions if each.required or not each.option_strings]
            line = self._get_formatter()
            line.add_usage(None, needed, [], prefix="")
            self.usage = f"{line.format_help().strip()} [options]"
        return super().format_help()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r}: give one of {', '.join(action.choices)}"
                f"{did_you_mean(value, list(action.choices))}",
            )


class _OutputError(Exception):
    """Standard output can't be written."""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = _Parser(
        prog="mnst",
        usage="mnst [-h] [--version] COMMAND ...",
        description="Mixed neural style transfer: a photo, painted in several styles.",
        epilog="mnst COMMAND --help says what a command takes, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"mnst {__version__}")
    everyday = _Commands(parser, "everyday commands")

    command = everyday.add("stylize", "paint a photo in one or more styles", _stylize)
    command.add_argument("photo", help="the content image: a path or an http(s) address")
    command.add_argument("styles", nargs="*", metavar="style", help="style images, one or more")
    command.add_argument(
        "--styles",
        nargs="+",
        dest="of_all",
        metavar="STYLE",
        help="style images for several photos; each photo is painted into a folder",
    )
    _add_output(
        command, f"where to write the picture: {', '.join(images.FORMATS)}; with --styles, a folder"
    )
    command.add_argument(
        "--like",
        metavar="FILE",
        help="a picture that mnst painted: take its options, but for those that are given",
    )
    _add_options(command, stylize)

    command = everyday.add("crossfade", "animate the way from style to style", _crossfade)
    _add_pictures(command)
    _add_output(command, "where to write the animation: .gif, .webp, .mp4")
    _add_options(command, crossfade)

    command = everyday.add(
        "live", "learn a photo and its styles, and animate the way between", _live
    )
    _add_pictures(command)
    _add_output(command, "where to write the animation: .gif, .webp, .mp4")
    command.add_argument(
        "--save", metavar="FILE", help="keep what was learnt, to be opened and to go on: .npz"
    )
    _add_options(command, live)
    _add_options(command, Live.crossfade, only=("frames", "strength"))
    _add_options(command, crossfade, only=("path",))

    command = everyday.add("sweep", "paint many photos, or for many gammas", _sweep)
    _add_pictures(command, "the content image; a folder of them; or a pattern: 'photos/*.jpg'")
    _add_options(
        command,
        sweep,
        gamma={
            "type": _gammas,
            "metavar": "G,G",
            "help": "Gammas of two styles: 0,0.5,1; any gammas: 1,0,0;0,1,0, or 0;a.png;1; and "
            "colour=0,0.5,1,form=0,0.5,1 for every combination of both",
        },
        folder={"required": True},
    )

    command = everyday.add("segment", "find people in a photo, and make masks", _segment)
    command.add_argument("photo", help="a path or an http(s) address")
    command.add_argument(
        "--keep", type=_classes, metavar="CLASS,..", help="write a mask that keeps these classes"
    )
    _add_output(command, "where to write the mask, or without --keep an overlay", required=False)
    _add_options(command, segment)
    _add_options(command, Segmentation.mask)

    command = everyday.add("app", "open the studio, to play with, on a web page", _app)
    _add_options(command, serve)

    command = everyday.add("demo", "paint a photo that is at hand in two styles", _demo)
    command.add_argument("folder", nargs="?", default="demo", help="where to (default: demo)")
    of_demo = (
        "gamma",
        "strength",
        "recipe",
        "steps",
        "backbone",
        "weights",
        "precision",
        "progress",
    )
    _add_options(command, stylize, only=of_demo)

    others = _Commands(parser, "commands for research, and about this machine", everyday)

    command = others.add("calibrate", "find the sigma that balances the crossfader", _calibrate)
    _add_pictures(command)
    _add_options(command, calibrate)

    command = others.add("figures", "draw the article's or the paper's figures", _figures)
    command.add_argument(
        "source",
        choices=("article", "paper", "localized"),
        help="article; paper, for its figures 2 to 6; or localized, for its 7 to 9",
    )
    command.add_argument("photo", nargs="?", help="the content image; Grace Hopper, if not given")
    command.add_argument("styles", nargs="*", metavar="style", help="two style images")
    _add_options(command, figures.article, only=("folder", "size", "recipe", "steps", "progress"))
    command.set_defaults(folder="figures")

    command = others.add("distill", "train a small network of your own like VGG19", _distill)
    command.add_argument("sources", nargs="+", metavar="folder", help="pictures to learn from")
    _add_options(command, distill, folder={"required": True})

    command = others.add("plan", "say what painting a photo would take", _plan)
    command.add_argument("photo", help="the content image: a path or an http(s) address")
    command.add_argument("styles", nargs="*", metavar="style", help="style images, if they matter")
    _add_options(command, plan)

    others.add("info", "say what mnst runs on here", _info)
    return parser


class _Commands:
    """Commands that the help lists together.

    Args:
        parser: Whose commands.
        title: What the help says above them.
        before: Those that it lists before.
    """

    def __init__(
        self, parser: argparse.ArgumentParser, title: str, before: _Commands | None = None
    ) -> None:
        self.all: Any
        if before is not None:
            self.all = before.all
        else:  # left out of the help, which lists all commands in one: it has a group for each kind
            self.all = parser.add_subparsers(
                prog="mnst",
                metavar="COMMAND",
                required=True,
                parser_class=_Parser,
                help=argparse.SUPPRESS,
            )
        self._listed = parser.add_argument_group(title)

    def add(self, name: str, does: str, run: Callable[..., int]) -> argparse.ArgumentParser:
        """Adds a command, which `run` is called for, with what every command has."""
        examples = _EXAMPLES.get(name)
        command: argparse.ArgumentParser = self.all.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=examples and "examples:\n  " + "\n  ".join(examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._listed._group_actions.append(self.all._choices_actions[-1])
        expert = command.add_argument_group(_FOR_EXPERTS)
        expert.add_argument(
            "--traceback", action="store_true", help="if it fails, show where in the program, too"
        )
        command.set_defaults(run=run)
        return command


def _add_pictures(
    command: argparse.ArgumentParser, photo: str = "the content image: a path or an http(s) address"
) -> None:
    command.add_argument("photo", help=photo)
    command.add_argument("styles", nargs="+", metavar="style", help="style images, one or more")


def _add_output(command: argparse.ArgumentParser, described: str, *, required: bool = True) -> None:
    command.add_argument("-o", "--output", required=required, metavar="FILE", help=described)


def _add_options(
    command: argparse.ArgumentParser,
    function: Callable[..., Any],
    *,
    only: Sequence[str] | None = None,
    **changes: dict[str, Any],
) -> None:
    """Adds the keywords of a function as options, with the first sentence that it says of each."""
    said = described(function.__doc__)
    expert = next(group for group in command._action_groups if group.title == _FOR_EXPERTS)
    for name, parameter in inspect.signature(function).parameters.items():
        left_out = name in _NOT_ON_THE_COMMAND_LINE or (only is not None and name not in only)
        if parameter.kind is not parameter.KEYWORD_ONLY or left_out:
            continue
        sentence = re.split(r"\.(?= [A-Z]|$)", said[name], maxsplit=1)[0].replace("%", "%%")
        option = {"help": sentence, **_READ[name], **changes.get(name, {})}
        default = parameter.default
        if default not in (None, False, parameter.empty):
            option["help"] += f" (default: {default})"
        # Only what was given is passed on, so that defaults have one home.
        option["default"] = argparse.SUPPRESS
        group = expert if name in _OF_EXPERTS else command
        group.add_argument(f"--{name.replace('_', '-')}", **option)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    Args:
        arguments: Without the program's name; those of the process, if not given.

    Returns:
        0; 1 if a run failed on its way, or what it found can't be printed; 2 for bad input; 130 if
        it was interrupted.
    """
    _open_closed_streams()
    parser = build_parser()
    given = sys.argv[1:] if arguments is None else [*arguments]
    try:
        options = vars(parser.parse_args(given or ["--help"]))
    except SystemExit:
        with contextlib.suppress(_OutputError):  # of help, which is there to be read or not
            _write("")
        if given:
            raise
        return 0
    run: Callable[..., int] = options.pop("run")
    traced: bool = options.pop("traceback")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _run(run, options, traced)


def _run(run: Callable[..., int], options: dict[str, Any], traced: bool) -> int:
    """Runs a command; whatever it raises becomes one line and an exit code."""
    try:
        return run(**options)
    except KeyboardInterrupt:
        return _fail("interrupted before there was a picture", INTERRUPTED)
    except Exception as error:
        if traced:
            traceback.print_exception(error, file=LISTENER)
        if isinstance(error, (ValueError, TypeError, OSError, ImportError, WeightsError)):
            return _fail(one_line(error), BAD_INPUT)
        if isinstance(error, (ArithmeticError, _OutputError)):
            return _fail(one_line(error), FAILED)
        # What nobody foresaw, such as a device out of memory.
        return _fail(f"{type(error).__name__}: {one_line(error)}", FAILED)


def _open_closed_streams() -> None:
    """Opens what was closed before the start, as by `2>&-`, on nothing.

    Otherwise the next file that is opened, such as a picture, would get its number, and whatever
    is said on standard error with it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115  (as long as the process)


def _show(line: object) -> None:
    """Prints a line of what was found; letters that the output's encoding lacks are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(str(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _write(text: str) -> None:
    """Writes to standard output now, since at its end Python reports failure in its own way."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader that has had enough, as `head` does, is no error.
        if not isinstance(error, BrokenPipeError):
            raise _OutputError(f"standard output can't be written ({error.strerror})") from None


def _stylize(
    photo: str,
    styles: list[str],
    of_all: list[str] | None,
    output: str,
    like: str | None,
    **options: Any,
) -> int:
    photos = [photo] if of_all is None else [photo, *styles]
    styles = styles if of_all is None else of_all
    if not styles:
        raise ValueError("the following arguments are required: style, or --styles")
    if like is not None:
        options = _like(like, photos, styles, options)
    if of_all is not None:
        return _stylize_all(photos, styles, output, **options)
    images.check_output(output)
    if "size" in options:
        images.check_fits(output, photo, options["size"])
    try:
        result = stylize(photo, styles, **options)
    except ArithmeticError as error:
        best: Result | None = getattr(error, "result", None)
        if best is not None:
            partial = _partial(output)
            best.save(partial)
            tell(f"{partial}: the best picture before the run failed")
        raise
    written = output if result.completed else _partial(output)
    result.save(written)
    _show(f"{written}: {_summary(result)}")
    return 0 if result.completed else INTERRUPTED


def _like(
    file: str, photos: list[str], styles: list[str], options: dict[str, Any]
) -> dict[str, Any]:
    """Returns the options of a painting, with those that were given in place of its own."""
    settings = images.read_settings(file)
    try:
        own = dict(settings["options"])
        photo, *before = (each["sha256"] for each in (settings["photo"], *settings["styles"]))
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{file}: has no options to paint by; give a picture that stylize has painted"
        ) from None
    missing = [name for name in settings.get("options_left_out", ()) if name not in options]
    if missing:
        tell(f"mnst: note: {file} was painted with {' and '.join(missing)}, too: give it again")
    known = {style: before[k] for k, style in enumerate(styles[: len(before)])}
    if len(photos) == 1:  # of several, all but one are others
        known[photos[0]] = photo
    for picture, sha256 in known.items():
        if not images.is_address(picture) and source_of(picture).sha256 != sha256:
            tell(f"mnst: note: {picture} is another picture than {file} was painted from")
    return {**own, **options}


def _stylize_all(photos: list[str], styles: list[str], output: str, **options: Any) -> int:
    """Paints several photos, which is a sweep over them."""
    if Path(output).suffix.lower() in images.FORMATS:
        raise ValueError(f"-o is {output}: with --styles, give a folder")
    gamma = [options.pop("gamma")] if "gamma" in options else None
    return _sweep(photos, styles, gamma=gamma, folder=output, **options)


def _plan(photo: str, styles: list[str], **options: Any) -> int:
    _show(plan(photo, styles or None, **options))
    return 0


def _calibrate(photo: str, styles: list[str], **options: Any) -> int:
    calibration = calibrate(photo, styles, **options)
    for run in calibration.runs:
        improved = ", ".join(f"{value:.4g}" for value in run.relative_improvement)
        tried = ", ".join(f"{value:.4g}" for value in run.sigma)
        _show(
            f"run with sigma {tried}: relative improvement {improved}, imbalance "
            f"{run.imbalance:.3f}, {run.steps} steps in {run.seconds:.0f} s"
        )
    equal = [1 / len(calibration.sigma)] * len(calibration.sigma)
    predicted = ", ".join(f"{value:.4g}" for value in calibration.predict(equal))
    _show(f"predicted relative improvement at equal shares: {predicted}")
    if calibration.converged is not None:
        _show(f"within the tolerance of {calibration.tolerance:g}: {calibration.converged}")
    ended = "" if calibration.completed else ", the best when it was interrupted"
    _show(f"sigma {','.join(f'{value:.4g}' for value in calibration.sigma)}{ended}")
    return 0 if calibration.completed else INTERRUPTED


def _sweep(photo: str | list[str], styles: list[str], **options: Any) -> int:
    runs = sweep(photo, styles, **options)
    folder = Path(options["folder"])
    failed = f", {len(runs.failures)} failed" if runs.failures else ""
    ended = "" if runs.completed else ", interrupted"
    _show(f"{len(runs)} runs in {folder}{failed}{ended}")
    if not runs.completed:
        return INTERRUPTED
    return FAILED if runs.failures else 0


def _crossfade(photo: str, styles: list[str], output: str, **options: Any) -> int:
    check_animation(output)
    if "size" in options:
        images.check_fits(output, photo, options["size"])
    faded = crossfade(photo, styles, **options)
    written = output if faded.completed else _partial(output)
    faded.save(written)
    ended = "" if faded.completed else ", ended early"
    _show(f"{written}: {len(faded.frames)} frames, {faded.steps} steps{ended}")
    return 0 if faded.completed else INTERRUPTED


def _live(photo: str, styles: list[str], output: str, save: str | None, **options: Any) -> int:
    check_animation(output)
    if save is not None:
        images.check_arrays_place(save)
    if "size" in options:
        images.check_fits(output, photo, options["size"])
    named = ("path", "frames", "strength")
    of_fade = {name: options.pop(name) for name in named if name in options}
    # What is wrong with the way is not found after minutes of learning.
    recipe = get_recipe(options.get("recipe", "fine"))
    Controls.of(recipe, (1.0,) * len(styles)).way(**of_fade)
    learning = live(photo, styles, **options)
    learning.wait()
    if save is not None:
        learning.save(save, resumable=True)
        _show(f"{save}: {Path(save).stat().st_size / 1e6:.1f} MB")
    faded = learning.crossfade(**of_fade)
    written = output if learning.completed else _partial(output)
    faded.save(written)
    ended = "" if learning.completed else ", ended early"
    left = learning.history[-1].losses["left"]
    _show(
        f"{written}: {len(faded.frames)} frames, learnt in {learning.steps} steps{ended}, "
        f"{left:.1%} of the photo's loss is left"
    )
    return 0 if learning.completed else INTERRUPTED


def _segment(photo: str, keep: Classes | None, output: str | None, **options: Any) -> int:
    of_mask = {name: options.pop(name) for name in ("invert", "feather") if name in options}
    if "feather" in of_mask:
        check_feather(of_mask["feather"])
    if output is not None:
        images.check_output(output)
    elif keep is not None or of_mask:
        raise ValueError("a mask needs a place: give -o FILE")
    if keep is None and of_mask:
        raise ValueError(f"--{next(iter(of_mask))} is for masks: give --keep CLASS")
    if keep is not None:
        check_classes(keep, model=options.get("model"))
    found = segment(photo, **options)
    for name, share in found.classes.items():
        _show(f"{name:<16}{share:>7.2%}")
    if "person" in found.names and "person" not in found.classes and keep is None:
        _show("no person was found")
    if output is not None and keep is not None:
        mask = found.mask(keep, **of_mask)
        images.save_image(output, images.to_uint8(255 * np.stack([mask[np.newaxis]] * 3, axis=-1)))
        _show(f"{output}: a mask that keeps {mask.mean(dtype=np.float64):.2%} of the picture")
    elif output is not None:
        found.save(output)
        _show(f"{output}: the photo, with its classes painted over it")
    return 0


def _figures(source: str, photo: str | None, styles: list[str], folder: str, **options: Any) -> int:
    if photo is not None and len(styles) != 2:
        raise ValueError(f"{len(styles)} styles were given: give two, or no pictures at all")
    place = check_folder("folder", folder)
    make: Callable[..., Any] = getattr(figures, source)
    made = make(photo, styles or None, folder=place / source, **options)
    for path in made.save(place):
        _show(path)
    for claim in made.claims():
        _show(claim)
    return 0


def _demo(folder: str, **options: Any) -> int:
    from matplotlib import cbook
    from matplotlib.figure import Figure

    Mixture.of(options.get("gamma"), 2, get_recipe(options.get("recipe", "fine")))
    styles = [paintings.swirls(), paintings.glass()]
    place = check_folder("folder", folder)
    place.mkdir(parents=True, exist_ok=True)
    images.check_output(place / "painted.png")
    hopper = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photo = images.to_uint8(images.load_image(hopper, size=_DEMO_SIZE))
    result = stylize(photo, styles, size=_DEMO_SIZE, sigma="auto", **options)
    written = {
        "photo.png": photo,
        "style_1.png": styles[0],
        "style_2.png": styles[1],
        "overview.png": images.side_by_side([photo, *styles, result.image]),
    }
    for name, image in written.items():
        images.save_image(place / name, image)
    result.save(place / "painted.png")
    figure = Figure(layout="constrained")
    result.plot(figure.subplots())
    with images.replacing(place / "history.png") as file:
        figure.savefig(file, format="png", dpi=120)
    for name in (*written, "painted.png", "history.png"):
        _show(place / name)
    _show(_summary(result))
    return 0 if result.completed else INTERRUPTED


def _distill(sources: list[str], folder: str, **options: Any) -> int:
    student = distill(sources, folder=folder, **options)
    _show(f"{student}: {student.stat().st_size / 1e6:.1f} MB")
    return 0


def _app(**options: Any) -> int:
    serve(**options)
    return 0


def _info() -> int:
    for package in ("mnst", "tensorflow", "keras", "numpy", "pillow"):
        version = __version__ if package == "mnst" else metadata.version(package)
        _show(f"{package:<12}{version}")
    _show(f"{'python':<12}{platform.python_version()} on {platform.platform()}")
    _show(f"{'device':<12}{devices.device_name()}")
    for gpu in devices.unused_gpus():
        _show(f"{'unused':<12}{gpu}: {devices.why_unused()}")
    _show(f"{'precision':<12}{devices.resolve_precision('auto')}")
    source = get_backbone("auto").find_weights()
    where = "to be downloaded to" if source.origin == "download" else f"from {source.origin},"
    _show(f"{'weights':<12}{source.backbone.name} {where} {source.place}")
    if source.origin == "download":
        _show(f"{'offline':<12}vgg19-lite paints; for VGG19 {VGG19.weights.how_to_get}")
    places = map(images.describe, release_at(find_model().address).addresses)
    _show(f"{'deeplab':<12}{', or else '.join(places)}")
    return 0


def _partial(output: str) -> Path:
    """Returns where what was not finished is written: beside what may be, as out.partial.png."""
    path = Path(output)
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def _summary(result: Result) -> str:
    height, width = result.image.shape[:2]
    last = result.history[-1]
    improved = ", ".join(f"{value:.4g}" for value in result.relative_improvement)
    ended = "" if result.completed else ", ended early"
    return (
        f"{width} x {height} pixels, {last.step} steps in {last.seconds:.0f} s{ended}, "
        f"relative improvement {improved}{_by_group(result)}"
    )


def _by_group(result: Result) -> str:
    """Says how much each group of layers has improved, where that may differ."""
    groups = result.improvement_by_group.items()
    each = (f"{group} {', '.join(f'{v:.4g}' for v in of.measured)}" for group, of in groups)
    return f" ({'; '.join(each)})" if groups else ""


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    tell(f"mnst: note: {' '.join(str(message).split())}")


def _fail(message: str, code: int) -> int:
    tell(f"mnst: {message}")
    return code
