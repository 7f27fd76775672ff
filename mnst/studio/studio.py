"""The studio's state, and what can be done to it: one for a page, a widget and a server alike.

Pages are told what has changed and ask for what they lack; docs/studio.md lists what is said. A
`Studio` knows nothing of how messages travel: a page is a function that takes them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnst import images
from mnst.checks import check_choice, check_number, check_whole, shown
from mnst.painting.options import StudioOptions
from mnst.painting.result import Result
from mnst.studio import copies, telling
from mnst.studio.background import (
    BackgroundPainter,
    FilmOrder,
    Frame,
    Listener,
    Order,
    Table,
    Work,
)
from mnst.studio.messages import MessageError, checked
from mnst.studio.pictures import GLASS, STAGE, SWIRLS, THUMBNAIL, Picture, gallery, samples
from mnst.studio.store import Entry, Store, new_id
from mnst.studio.turns import Turns
from mnst.studio.wishes import MOST_STYLES, Quality, Wish

Send = Callable[[dict[str, Any], list[bytes]], None]

_MOST_FETCHED = 200  # pictures that a page may ask for at once
_LONGEST_NAME = 120  # letters of a painting's
_TO_LEAVE = 0.5  # seconds between two looks at what lies on the table, to keep it
_FILMS = (".webp", ".gif", ".mp4")


@dataclass(frozen=True)
class Limits:
    """What a studio may take; without any change, that of somebody at their own machine.

    Attributes:
        upload: Bytes of a file.
        learning: Seconds that a live picture may learn; None is as long as it gains.
        orders: Paintings and films that may wait.
        paintings: How many are kept; the oldest go first. None is all.
        visitors: Whether it is open to whoever comes: nothing of theirs is kept.
    """

    upload: int = 32 * 2**20
    learning: float | None = None
    orders: int = 8
    paintings: int | None = None
    visitors: bool = False


class Page:
    """Somebody who looks at a studio; `known` is what they were told of its state."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.known: dict[str, Any] = {}


class Studio(Listener):
    """A table with a photo and styles, controls, a history, and a painter in the background.

    Args:
        store: Where things are kept.
        photo: The content image, anything that `mnst.load_image` takes; None is what was left on
            the table.
        styles: One to four style images, likewise.
        options: Those of `StudioOptions`.
        turns: Where several studios share a machine: whose turn it is.
        limits: What it may take.

    Attributes:
        result: The `Result` that was painted last; None before the first.
        image: The live picture, uint8 [H, W, 3 or 4]; None before there is one.

    Raises:
        ValueError: If an option is out of range, there are too many styles, or one isn't a picture.
        TypeError: If a picture is of another kind.
        OSError: If a picture can't be read.
    """

    def __init__(
        self,
        store: Store,
        *,
        photo: Any = None,
        styles: Sequence[Any] | None = None,
        options: StudioOptions | None = None,
        turns: Turns | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._painter = BackgroundPainter(
            self, options=options, turns=turns, learning=self._limits.learning
        )
        self._store = store
        self._exhibits = {of.key: of for of in (*samples(), *gallery())}
        self._samples, self._gallery = samples(), gallery()
        self._lock = threading.RLock()  # guards what follows
        self._pages: list[Page] = []
        self._photo: Picture | None = None
        self._styles: list[tuple[str, Picture]] = []
        self._first_styles: list[tuple[str, Picture]] = []  # that nobody has chosen
        self._wish = Wish(strength=self._painter.strength)
        self._linked, self._quality = True, "fine"
        self._people: dict[str, Any] = {"state": "unknown", "text": "", "picture": None}
        self._mask: np.ndarray | None = None
        self._wants_people = False
        self._work, self._reading = Work(), 0
        self._entries: list[Entry] = []
        self._showing: str | None = None
        self._comparing: str | None = None
        self._watching: str | None = None  # "painting" or "film", if that is waited for
        self._error: str | None = None
        self._note: dict[str, Any] | None = None
        self._undo: Callable[[], None] | None = None
        self._last_frame: tuple[dict[str, Any], list[bytes]] | None = None
        self._numbers = itertools.count(1)
        self._closed = self._changed = False
        self._closing = threading.Event()
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="mnst reader")
        self._senders = ThreadPoolExecutor(2, thread_name_prefix="mnst sender")
        # Apart, so that nobody's own pictures wait for a server that keeps silent.
        self._fetchers = ThreadPoolExecutor(2, thread_name_prefix="mnst fetcher")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="mnst keeper")
        self.result: Result | None = None
        self.image: np.ndarray | None = None
        self._begin(photo, styles)

    # Who looks at it

    def join(self, send: Send) -> Page:
        """Lets somebody look at it, and tells them all of its state.

        Args:
            send: Takes messages with their parts, from any thread, and does not wait.
        """
        page = Page(send)
        with self._lock:
            self._entries = self._store.entries()
            self._pages.append(page)
            self._painter.look(seen=True)
            if not (self._closed or self._limits.visitors):
                self._painter.warm_up()
            self._tell()
            if self._last_frame is not None:
                page.send(*self._last_frame)
        return page

    def leave(self, page: Page) -> None:
        """Lets somebody go."""
        with self._lock, contextlib.suppress(ValueError):
            self._pages.remove(page)
            self._painter.look(seen=bool(self._pages))

    @property
    def pages(self) -> int:
        """How many look at it."""
        return len(self._pages)

    def do(self, page: Page, message: Any, parts: Sequence[bytes] = ()) -> None:
        """Does what a page asks for. What is wrong with it stands in the state then.

        Raises:
            MessageError: If it is nothing that a page of ours asks for.
        """
        action = getattr(self, f"_do_{checked(message)['do']}", None)
        if action is None:
            raise MessageError(f"there is nothing like {shown(message['do'])} to do")
        with self._lock:
            if self._closed:
                return
            try:
                action(page, message, list(parts))
            except MessageError:
                raise
            except (ValueError, TypeError, KeyError, OSError) as error:
                self._fail(error)
            self._tell()

    def close(self) -> None:
        """Ends it: nothing of it works on, and what lies on the table is kept."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._closing.set()
            self._pages.clear()
        self._painter.close()
        for pool in (self._readers, self._senders, self._fetchers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._keeper.shutdown()
        self._leave()
        self._store.tidy()

    @property
    def options(self) -> dict[str, Any]:
        """What `stylize` takes to paint what is wished for now, in the quality that is chosen."""
        with self._lock:
            quality = self._painter.qualities[self._quality]
            wished = {name: of for name, of in self._wanted.options.items() if of is not None}
            return {"recipe": quality.recipe, "size": quality.size, "sigma": "auto", **wished}

    # Its state, as pages see it

    def _tell(self) -> None:
        state = self._state()
        for page in self._pages:
            news = {name: of for name, of in state.items() if page.known.get(name, ...) != of}
            if news:
                page.known = state
                page.send({"is": "state", **news}, [])

    def _state(self) -> dict[str, Any]:
        return {
            "photo": self._photo and telling.of_photo(self._photo),
            "styles": [telling.of_style(*each) for each in self._styles],
            "room": self._room,
            "samples": [telling.of_exhibit(of) for of in self._samples],
            "gallery": [telling.of_exhibit(of) for of in self._gallery],
            "controls": self._of_controls(),
            "qualities": [self._of_quality(of) for of in self._offered()],
            "people": self._people,
            "work": telling.of_work(
                self._work,
                previews=self._last_frame is not None,
                can_stop=self._painter.orders > 0,
            ),
            "waiting": telling.in_line(self._work.before),
            "history": [telling.of_entry(entry, self._most) for entry in self._entries],
            "showing": self._showing,
            "shown": telling.of_shown(self._found(self._showing)),
            "comparing": telling.of_shown(self._found(self._comparing)),
            "error": self._error and {"text": self._error},
            "note": self._note,
            "limits": {
                "styles": MOST_STYLES,
                "upload": self._limits.upload,
                "visitors": self._limits.visitors,
                "forget_at_end": self._limits.visitors,
            },
            "busy_opening": self._reading > 0,
        }

    def _of_controls(self) -> dict[str, Any]:
        wished = self._wanted.as_dict()
        chosen = {"linked": self._linked, "quality": self._quality}
        return {**wished, **chosen}

    def _offered(self) -> list[Quality]:
        """Returns the qualities that make a difference for the photo."""
        offered = list(self._painter.qualities.values())
        if self._photo is None:
            return offered
        long = max(self._photo.height, self._photo.width)
        fine = self._painter.qualities["fine"].size
        return [of for of in offered if of.name != "large" or long > fine]

    def _of_quality(self, quality: Quality) -> dict[str, Any]:
        seconds, size = None, quality.size
        if self._photo is not None:
            estimated = self._painter.seconds(quality, self._photo)
            seconds = None if estimated is None else telling.coarsely(estimated)
            size = min(size, max(self._photo.height, self._photo.width))
        return {"name": quality.name, "label": quality.label, "size": size, "seconds": seconds}

    def _found(self, id: Any) -> Entry | None:
        return next((entry for entry in self._entries if entry.id == id), None)

    def _entry(self, message: Mapping[str, Any]) -> Entry:
        entry = self._found(message.get("painting"))
        if entry is None:
            raise ValueError("this painting is gone")
        return entry

    def _fail(self, error: BaseException | str) -> None:
        self._error = error if isinstance(error, str) else telling.in_words(error)

    # What pages ask for: pictures and files

    def _do_hello(self, page: Page, message: Any, parts: Any) -> None:
        self._entries = self._store.entries()
        page.known = {}
        if self._last_frame is not None:
            page.send(*self._last_frame)

    def _do_fetch(self, page: Page, message: Any, parts: Any) -> None:
        wanted = message.get("pictures")
        texts = (id for id in wanted if isinstance(id, str)) if isinstance(wanted, list) else ()
        for id in itertools.islice(dict.fromkeys(texts), _MOST_FETCHED):
            self._senders.submit(self._send_picture, page, id)

    def _send_picture(self, page: Page, id: str) -> None:
        if page not in self._pages:
            return
        try:
            kind, data = self._picture(id)
        except (ValueError, TypeError, OSError, LookupError):
            page.send({"is": "picture", "id": id, "missing": True}, [])
        else:
            page.send({"is": "picture", "id": id, "type": kind}, [data])

    def _picture(self, id: str) -> tuple[str, bytes]:
        """Returns the type and the bytes of a picture that the state names."""
        what, _, size = id.rpartition("/")
        if what.startswith("exhibit:"):
            exhibit = self._exhibits[what[8:]]
            if exhibit.far:  # which is downloaded when it is added, and named by no state
                raise LookupError(id)
            return "image/webp", exhibit.thumbnail()
        if what.startswith("people:"):
            with self._lock:
                photo, mask = self._photo, self._mask
            if photo is None or mask is None or photo.key != what[7:]:
                raise LookupError(id)
            return "image/png", copies.tinted(mask, photo)
        if what.startswith("entry:"):
            with self._lock:
                entry = self._found(what[6:])
            if entry is None:
                raise LookupError(id)
            return copies.kept(self._store, entry, size)
        with self._lock:
            known = [picture for _, picture in self._styles]
            known += [self._photo] if self._photo else []
        picture = next(each for each in (*known, None) if each is None or each.key == what)
        if picture is None:
            raise LookupError(id)
        return "image/webp", picture.copy(STAGE if size == str(STAGE) else THUMBNAIL)

    def _do_download(self, page: Page, message: Any, parts: Any) -> None:
        entry = self._entry(message)
        able = (entry.suffix,) if entry.kind == "film" else (".png", ".jpg", ".webp")
        suffix = check_choice("as", f".{message.get('as', entry.suffix[1:])}", able)
        self._senders.submit(self._send_file, page, entry, suffix)

    def _send_file(self, page: Page, entry: Entry, suffix: str) -> None:
        try:
            file = self._store.file(entry)
            data = file.read_bytes() if suffix == entry.suffix else copies.as_kind(file, suffix)
        except (ValueError, OSError) as error:
            with self._lock:
                self._fail(error)
                self._tell()
        else:
            message = {"is": "file", "name": f"{entry.name}{suffix}", "type": copies.TYPES[suffix]}
            page.send(message, [data])

    # What pages ask for: what lies on the table

    def _do_photo(self, page: Page, message: Any, parts: list[bytes]) -> None:
        self._read(
            [self._offer(message, "sample", parts)],
            lambda read: self._lay_photo(read[0]),
            own="sample" not in message,
        )

    def _do_add_styles(self, page: Page, message: Any, parts: list[bytes]) -> None:
        if "gallery" in message:
            wanted = [self._offer(message, "gallery", parts)]
        else:
            names = message.get("names")
            if not isinstance(names, list) or not 0 < len(names) == len(parts):
                raise MessageError("names and files that don't go together")
            wanted = [self._upload(name, part) for name, part in zip(names, parts, strict=True)]
        own = "gallery" not in message
        if len(wanted) > (self._room if own else MOST_STYLES - len(self._styles)):
            raise ValueError(f"{MOST_STYLES} styles are the most: remove one first")
        self._read(wanted, self._lay_own_styles if own else self._lay_styles, own=own)

    def _offer(self, message: Any, named: str, parts: list[bytes]) -> Callable[[], Picture]:
        """Returns what reads a picture that was chosen or sent."""
        if named in message:
            exhibit = self._exhibits.get(str(message[named]))
            if exhibit is None:
                raise ValueError("this picture is not on offer any more")
            return exhibit.picture
        if len(parts) != 1:
            raise MessageError("a picture without its file")
        return self._upload(message.get("name"), parts[0])

    def _upload(self, name: Any, data: bytes) -> Callable[[], Picture]:
        if len(data) > self._limits.upload:
            raise ValueError(
                f"the file has {len(data) >> 20} MB: give one of at most "
                f"{self._limits.upload >> 20} MB"
            )
        return lambda: Picture.of(data, name if isinstance(name, str) else "picture")

    def _read(
        self,
        wanted: Sequence[Callable[[], Picture]],
        lay: Callable[[list[Picture]], None],
        *,
        own: bool,
    ) -> None:
        """Reads pictures in a thread of their own, and lays them on the table."""
        self._reading += 1

        def work() -> None:
            error: BaseException | None = None
            read: list[Picture] = []
            try:
                read = [each() for each in wanted]
            except Exception as caught:  # whatever is wrong with it, somebody waits for a word
                error = caught
            with self._lock:
                self._reading -= 1
                try:
                    if error is not None:
                        raise error
                    lay(read)
                except Exception as caught:
                    self._fail(caught)
                self._tell()

        (self._readers if own else self._fetchers).submit(work)

    def _lay_photo(self, photo: Picture) -> None:
        self._photo = photo
        self._wish = dataclasses.replace(self._wish, keep_people=False)
        self._wants_people, self._mask = False, None
        self._people = {"state": "unknown", "text": "", "picture": None}
        self._last_frame = None
        if self._quality not in {of.name for of in self._offered()}:
            self._quality = "fine"
        self._move()

    def _lay_styles(self, styles: Sequence[Picture]) -> None:
        here = {style.key for _, style in self._styles}
        new = [*{style.key: style for style in styles if style.key not in here}.values()]
        if len(self._styles) + len(new) > MOST_STYLES:
            raise ValueError(f"{MOST_STYLES} styles are the most: remove one first")
        self._wish = self._wish.of_styles(range(len(self._styles)), len(new))
        self._styles += [(f"style-{next(self._numbers)}", style) for style in new]
        self._move()
        if len(new) < len(styles):
            raise ValueError("this style lies on the table already")

    @property
    def _has_first_styles(self) -> bool:
        """Whether the styles are those that lie there to begin with, as they were."""
        return bool(self._styles) and self._styles == self._first_styles

    @property
    def _room(self) -> int:
        """How many styles of one's own there is room for."""
        return MOST_STYLES - (0 if self._has_first_styles else len(self._styles))

    def _lay_own_styles(self, styles: Sequence[Picture]) -> None:
        """Lays out what somebody brings: the styles that nobody has chosen make room for it."""
        before = self._styles, self._wish
        if self._has_first_styles:
            self._styles, self._wish = [], self._wish.of_styles(())
            undo = self._lays_back(*before)
            self._offer_undo("Your own styles took the place of the samples", undo)
        self._lay_styles(styles)

    def _place(self, message: Mapping[str, Any]) -> int:
        keys = [key for key, _ in self._styles]
        if message.get("style") not in keys:
            raise ValueError("this style is gone")
        return keys.index(message["style"])

    def _do_remove_style(self, page: Page, message: Any, parts: Any) -> None:
        place, before = self._place(message), (list(self._styles), self._wish)
        self._arrange([k for k in range(len(self._styles)) if k != place])
        self._offer_undo(f"{before[0][place][1].name} was removed", self._lays_back(*before))

    def _lays_back(self, styles: list[tuple[str, Picture]], wish: Wish) -> Callable[[], None]:
        def undo() -> None:
            self._styles, self._wish = styles, wish
            self._move()

        return undo

    def _do_move_style(self, page: Page, message: Any, parts: Any) -> None:
        place, to = self._place(message), check_whole("to", message.get("to"), 0)
        order = [k for k in range(len(self._styles)) if k != place]
        order.insert(to, place)
        self._arrange(order)

    def _arrange(self, order: list[int]) -> None:
        self._wish = self._wish.of_styles(order)
        self._styles = [self._styles[k] for k in order]
        self._move()

    # What pages ask for: controls

    def _do_set(self, page: Page, message: Any, parts: Any) -> None:
        changes = message.get("controls")
        if not isinstance(changes, dict):
            raise MessageError("controls that are none")
        changes = dict(changes)
        linked, quality = changes.pop("linked", None), changes.pop("quality", None)
        if quality is not None:
            self._quality = check_choice("quality", quality, tuple(self._painter.qualities))
        people = changes.pop("keep_people", None)
        wish = self._wish.changed(changes)
        if linked is not None:
            self._linked = linked is True
        if self._linked:
            wish = dataclasses.replace(wish, colour=wish.form)
        if people is not None:
            wish = self._keep_people(wish, people is True)
        if wish != self._wish or people is not None:
            self._wish = wish
            self._move()

    def _keep_people(self, wish: Wish, keep: bool) -> Wish:
        """Keeps people, once it is known where they are."""
        self._wants_people = keep and self._mask is None
        if self._wants_people:
            self._do_find_people()
        return dataclasses.replace(wish, keep_people=keep and self._mask is not None)

    @property
    def _wanted(self) -> Wish:
        """What is wished for, also while people are still looked for."""
        keep = self._wish.keep_people or self._wants_people
        return dataclasses.replace(self._wish, keep_people=keep)

    def _do_find_people(self, page: Any = None, message: Any = None, parts: Any = None) -> None:
        if self._photo is None:
            raise ValueError("there is no photo to look for people in: choose one")
        if self._people["state"] == "nobody":
            self._wants_people = False
        elif self._people["state"] != "looking" and self._mask is None:
            self._people = {"state": "looking", "text": "Looking for people", "picture": None}
            self._painter.find_people(self._photo)

    def _move(self) -> None:
        """Has the painter follow, and shows the preview."""
        self._showing = self._comparing = None
        self._watching = None
        self._changed = True
        self._painter.show(self._table(), self._wish, anew=self._last_frame is None)
        self._keep_soon()

    def _table(self) -> Table | None:
        if self._photo is None or not self._styles:
            return None
        return Table(self._photo, tuple(style for _, style in self._styles))

    # What pages ask for: paintings

    def _do_paint(self, page: Page, message: Any, parts: Any) -> None:
        table = self._table()
        if table is None:
            raise ValueError("a painting needs a photo and a style: choose them")
        self._order(Order(table, self._wanted, self._painter.qualities[self._quality]))

    def _order(self, order: Order) -> None:
        self._check_orders()
        self._showing = self._comparing = self._error = None
        self._watching = "painting"
        self._painter.paint(order)

    def _check_orders(self) -> None:
        if self._painter.orders >= self._limits.orders:
            raise ValueError("enough is waiting to be painted: wait for some of it")

    def _do_stop(self, page: Page, message: Any, parts: Any) -> None:
        self._painter.stop()

    def _do_film(self, page: Page, message: Any, parts: Any) -> None:
        table = self._table()
        if table is None:
            raise ValueError("a film needs a photo and styles: choose them")
        seconds = check_number("seconds", message.get("seconds"), lambda s: 2 <= s <= 10, "2 to 10")
        suffix = f".{check_choice('kind', message.get('kind'), [of[1:] for of in _FILMS])}"
        self._check_orders()
        self._painter.film(FilmOrder(table, self._wanted, seconds, suffix))
        self._showing = self._comparing = None
        self._watching = "film"

    def _do_show(self, page: Page, message: Any, parts: Any) -> None:
        self._showing = None if message.get("painting") is None else self._entry(message).id
        self._comparing = None

    def _do_compare(self, page: Page, message: Any, parts: Any) -> None:
        self._comparing = None if message.get("painting") is None else self._entry(message).id

    def _do_paint_like(self, page: Page, message: Any, parts: Any) -> None:
        entry = self._entry(message)
        table, wish = self._of_old(entry)
        self._lay_photo(table.photo)
        self._styles = [(f"style-{next(self._numbers)}", style) for style in table.styles]
        self._wish = dataclasses.replace(wish, keep_people=False)
        self._linked = wish.form == wish.colour
        if entry.quality in self._painter.qualities:
            self._quality = entry.quality
        if wish.keep_people:
            self._wish = self._keep_people(self._wish, True)
        self._move()

    def _do_repeat(self, page: Page, message: Any, parts: Any) -> None:
        entry = self._entry(message)
        times = check_whole("times", message.get("times"))
        table, wish = self._of_old(entry)
        # The photo itself says how large it is: a history of before has no such number.
        most = min(self._most, max(table.photo.height, table.photo.width))
        sizes = {1: max(entry.height, entry.width)} | entry.larger(most)
        if times not in sizes:
            raise ValueError(
                f"the photo has {table.photo.width} x {table.photo.height} pixels: a painting of "
                f"it can't be so much larger"
            )
        # A draft that is to be larger is one no more.
        known = self._painter.qualities
        name = entry.quality if times == 1 and entry.quality in known else "large"
        self._order(Order(table, wish, dataclasses.replace(known[name], size=sizes[times])))

    @property
    def _most(self) -> float:
        """Pixels that a longer side may have."""
        return 2 * self._painter.qualities["large"].size if self._limits.visitors else math.inf

    def _of_old(self, entry: Entry) -> tuple[Table, Wish]:
        """Returns what a painting was made of.

        Raises:
            ValueError: If that is gone.
        """
        read = [self._store.picture(key) for key in (entry.photo, *entry.styles)]
        found = [picture for picture in read if picture is not None]
        if entry.kind != "painting" or len(found) < len(read) or len(found) < 2:
            raise ValueError("the photo or the styles that it was painted from are gone")
        wish = Wish.from_dict(entry.wish, len(found) - 1, self._painter.strength)
        return Table(found[0], tuple(found[1:])), wish

    def _do_forget(self, page: Page, message: Any, parts: Any) -> None:
        self._remove([self._entry(message)], "The painting was removed")

    def _do_clear(self, page: Page, message: Any, parts: Any) -> None:
        self._remove(self._entries, "All paintings were removed")

    def _remove(self, entries: Sequence[Entry], said: str) -> None:
        self._store.remove(entries)
        self._entries = self._store.entries()
        self._showing = self._showing if self._found(self._showing) else None
        self._comparing = self._comparing if self._found(self._comparing) else None

        def undo() -> None:
            self._store.restore()
            self._entries = self._store.entries()

        self._offer_undo(said, undo)

    def _offer_undo(self, said: str, undo: Callable[[], None]) -> None:
        self._note, self._undo = {"text": said, "undo": True}, undo

    def _do_undo(self, page: Page, message: Any, parts: Any) -> None:
        undo, self._undo, self._note = self._undo, None, None
        if undo is not None:
            undo()

    def _do_dismiss(self, page: Page, message: Any, parts: Any) -> None:
        self._error = self._note = self._undo = None

    # What the painter tells

    def working(self, work: Work) -> None:
        """Tells pages what it is at."""
        with self._lock:
            self._work = work
            self._tell()

    def showing(self, frame: Frame) -> None:
        """Shows pages a picture of now, unless they look at something else."""
        data = copies.passing(frame.image, rough=frame.rough)
        height, width = frame.image.shape[:2]
        with self._lock:
            if frame.of == "live":
                self.image = frame.image
            elif self._watching != "painting":
                return
            message = {
                "is": "frame",
                "of": frame.of,
                "step": frame.step,
                "width": width,
                "height": height,
                "rough": frame.rough,
                "seq": next(self._numbers),
            }
            if frame.of == "live":
                self._last_frame = message, [data]
            # Who waits for a film sees the preview that it will be made of get sharper.
            if (self._watching == "painting") == (frame.of == "painting"):
                for page in self._pages:
                    page.send(message, [data])

    def painted(self, order: Order, result: Result, seconds: float) -> None:
        """Keeps a painting, and shows it to those who have waited for it."""
        self.result = result
        picture = images.with_alpha(result.image, result.alpha)
        data = images.encode_with_settings(picture, "PNG", result.settings)
        of, steps = order.quality, result.history[-1].step
        stopped = "" if result.completed else f", stopped after {steps} steps"
        entry = _new_entry(
            order,
            seconds,
            result.image,
            kind="painting",
            suffix=".png",
            text=f"{order.wish.in_words(order.table.names)}, {of.label.lower()}{stopped}",
            quality=of.name,
            size=of.size,
            complete=result.completed,
        )
        self._keep(entry, data, order.table)
        with self._lock:
            self._ended(entry)

    def filmed(self, order: FilmOrder, data: bytes, still: np.ndarray, seconds: float) -> None:
        """Keeps a film, and shows it."""
        said = f"A film of {order.seconds:g} s, there and back"
        entry = _new_entry(order, seconds, still, kind="film", suffix=order.suffix, text=said)
        self._keep(entry, data, order.table, still)
        with self._lock:
            self._ended(entry)

    def _keep(
        self, entry: Entry, data: bytes, table: Table, still: np.ndarray | None = None
    ) -> None:
        self._store.keep(entry, data, (table.photo, *table.styles), still)
        most = self._limits.paintings
        if most is not None and (too_many := self._store.entries()[most:]):
            self._store.remove(too_many)

    def _ended(self, entry: Entry) -> None:
        self._entries = self._store.entries()
        if self._watching and self._painter.orders <= 1:  # which is this one
            self._showing, self._watching = entry.id, None
        else:
            self._note = {"text": f"{entry.name} is done: it is in the history", "undo": False}
        self._tell()

    def found_people(self, photo: Picture, mask: np.ndarray | None) -> None:
        """Keeps people as they are, if that was wished for and there are any."""
        with self._lock:
            if self._photo is None or self._photo.key != photo.key:
                return
            self._mask = mask
            if mask is None:
                self._people = {
                    "state": "nobody",
                    "text": "No people were found in this photo.",
                    "picture": None,
                }
            else:
                self._people = {
                    "state": "found",
                    "text": f"Found: {100 * mask.mean(dtype=np.float64):.0f} % of the photo",
                    "picture": f"people:{photo.key}/0",
                }
            if self._wants_people:
                self._wants_people = False
                self._wish = dataclasses.replace(self._wish, keep_people=mask is not None)
                self._move()
            self._tell()

    def failed(self, message: str) -> None:
        """Says why something did not work out."""
        with self._lock:
            self._fail(message)
            if self._people["state"] == "looking":
                self._wants_people = False
                self._people = {"state": "failed", "text": message, "picture": None}
            self._tell()

    # The table, from one time to the next

    def _begin(self, photo: Any, styles: Sequence[Any] | None) -> None:
        """Lays on the table what was given, or else what was left there."""
        left = {} if self._limits.visitors else self._store.left()
        given = [] if styles is None else styles
        if len(given) > MOST_STYLES:
            raise ValueError(f"{len(given)} styles were given: give at most {MOST_STYLES}")
        laid = [Picture.of(style, argument=f"styles[{k}]") for k, style in enumerate(given)]
        if photo is not None:
            self._photo = Picture.of(photo, argument="photo")
        else:
            self._photo = self._store.picture(left.get("photo"))
        if styles is None:
            keys = left.get("styles")
            found = map(self._store.picture, keys if isinstance(keys, list) else [])
            laid = [style for style in found if style is not None][:MOST_STYLES]
        rates = left.get("rates")
        self._painter.rates |= {
            name: rate
            for name, rate in (rates.items() if isinstance(rates, dict) else ())
            if isinstance(rate, float) and rate > 0
        }
        self._styles = [(f"style-{next(self._numbers)}", style) for style in laid]
        wish = left.get("wish") if styles is None else None
        self._wish = Wish.from_dict(
            wish if isinstance(wish, dict) else {}, len(laid), self._painter.strength
        )
        self._wish = dataclasses.replace(self._wish, keep_people=False)
        self._linked = self._wish.form == self._wish.colour
        if left.get("quality") in {of.name for of in self._offered()}:
            self._quality = left["quality"]
        if not laid and styles is None:
            self._read([SWIRLS.picture, GLASS.picture], self._lay_first_styles, own=False)
        if self._photo is not None and laid:
            self._painter.show(self._table(), self._wish)

    def _lay_first_styles(self, styles: list[Picture]) -> None:
        """Lays out styles to begin with, unless somebody has been faster."""
        if not self._styles:
            self._lay_styles(styles)
            self._first_styles = list(self._styles)

    def _keep_soon(self) -> None:
        if not self._closed and not self._limits.visitors:
            self._keeper.submit(self._leave_later)

    def _leave_later(self) -> None:
        """Keeps what lies on the table; of many moves in a short time, the last one."""
        with self._lock:
            due = self._changed
        if due and not self._closing.wait(_TO_LEAVE):
            self._leave()

    def _leave(self) -> None:
        if self._limits.visitors:
            return
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            on_table = [picture for picture in (self._photo, *self._laid()) if picture is not None]
            table = {
                "photo": self._photo and self._photo.key,
                "styles": [style.key for style in self._laid()],
                "wish": self._wish.as_dict(),
                "quality": self._quality,
                "rates": dict(self._painter.rates),
            }
        with contextlib.suppress(OSError):  # a full disk is said when a painting is kept
            self._store.leave(table, on_table)

    def _laid(self) -> list[Picture]:
        return [style for _, style in self._styles]


def _new_entry(order: Order | FilmOrder, seconds: float, picture: np.ndarray, **own: Any) -> Entry:
    """Returns what the history says of a painting or a film that was just made."""
    table, now = order.table, datetime.datetime.now().astimezone()
    return Entry(
        id=new_id(),
        name=f"{table.photo.name} in {' and '.join(table.names)}"[:_LONGEST_NAME],
        made=now.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        height=picture.shape[0],
        width=picture.shape[1],
        photo=table.photo.key,
        styles=tuple(style.key for style in table.styles),
        most=max(table.photo.height, table.photo.width),
        wish=order.wish.as_dict(),
        **own,
    )
