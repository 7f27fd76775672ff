"""Messages between a page and its studio: packed and read again, and what is refused."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import framed, read

from mnst.studio.messages import MessageError, checked, packed, unpacked

LONGEST = 2**18  # bytes of a text
MOST_PARTS = 32

PLAIN = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20)
PLAIN |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
).filter(lambda value: depth(value) < 8)
MESSAGES = st.builds(
    lambda do, rest: {**rest, "do": do},
    st.text(max_size=30),
    st.dictionaries(st.text(max_size=8), VALUES, max_size=5),
)
PARTS = st.lists(st.binary(max_size=40), max_size=MOST_PARTS)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, (dict, list)) else 0


def nested(levels):
    return json.loads("[" * levels + "]" * levels)


def claimed(message, sizes, *parts):
    """A message whose sizes are whatever they are."""
    return framed(json.dumps({"message": message, "sizes": sizes}).encode(), *parts)


@settings(deadline=None, max_examples=50)
@given(MESSAGES, PARTS)
def test_what_was_packed_is_read_again(message, parts):
    assert unpacked(packed(message, parts)) == (message, parts)
    assert read(packed(message, parts)) == (message, parts)  # as a page's script does
    assert unpacked(claimed(message, list(map(len, parts)), *parts)) == (message, parts)


@settings(deadline=None)
@given(MESSAGES, PARTS, st.data())
def test_what_was_damaged_is_refused_or_another_message(message, parts, data):
    whole = packed(message, parts)
    cut = data.draw(st.integers(0, len(whole) - 1), label="cut")
    for damaged in (whole[:cut], whole + b"x", whole[cut:], whole[:cut] + whole):
        assert damaged == whole or outcome(damaged) is None
    place, value = cut, data.draw(st.integers(0, 255), label="value")
    found = outcome(whole[:place] + bytes([value]) + whole[place + 1 :])
    if found is not None:
        assert isinstance(found[0]["do"], str)
        assert all(isinstance(part, bytes) for part in found[1])


def outcome(data):
    try:
        return unpacked(data)
    except MessageError:
        return None


@given(st.binary(max_size=200))
def test_bytes_of_whatever_kind_are_refused(data):
    assert outcome(data) is None


GOOD = {"do": "hello"}
DO = b'"message":{"do":"x"},"sizes":[]'


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0",
        bytes(4),
        (2**32 - 1).to_bytes(4, "little"),
        packed(GOOD)[:-1],
        packed(GOOD) + b"x",
        framed(b"{}", length=2**32 - 1),
        framed(b""),
        framed(b"{"),
        framed(b"\xff\xfe"),
        framed(json.dumps({"message": GOOD, "sizes": []}).encode("utf-16")),
        framed(b"[" * 10**5),
        framed(b"[" * 10**5 + b"]" * 10**5),
        framed(b"9" * 10**5),
        framed(b"[]"),
        framed(b"null"),
        framed(b'{"message":{"do":"x"}}'),
        framed(b'{"sizes":[]}'),
        framed(b"{" + DO + b',"more":1}'),
        framed(b"{" + DO + b"} {}"),
        framed(b'{"message":{"do":"x","a":NaN},"sizes":[]}'),
        framed(b'{"message":{"do":"x","a":-Infinity},"sizes":[]}'),
        claimed(GOOD, None),
        claimed(GOOD, {}),
        claimed(GOOD, [1]),
        claimed(GOOD, [2], b"x"),
        claimed(GOOD, [1, 0, 1], b"x"),
        claimed(GOOD, [-1, 2], b"x"),
        claimed(GOOD, [True], b"x"),
        claimed(GOOD, [1.0], b"x"),
        claimed(GOOD, ["1"], b"x"),
        claimed(GOOD, [2**63]),
        claimed(GOOD, [10**400]),
        claimed(GOOD, [2**64 - 1, 2], b"x"),
        claimed(GOOD, [0] * (MOST_PARTS + 1)),
        claimed(None, []),
        claimed([GOOD], []),
        claimed({}, []),
        claimed({"do": None}, []),
        claimed({"do": ["hello"]}, []),
        claimed({"is": "state"}, []),
        claimed({"do": "x", "a": nested(8)}, []),
        claimed({"do": "x", "a": "x" * LONGEST}, []),
    ],
)
def test_what_no_page_sends_is_refused(bad):
    with pytest.raises(MessageError) as refused:
        unpacked(bad)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 100  # it has to go into a closing frame


def test_as_much_as_there_may_be_is_read():
    text = "x" * (LONGEST - len(json.dumps({"message": {"do": ""}, "sizes": []})))
    for message, parts in (
        ({"do": text}, []),
        ({"do": "x", "a": nested(7)}, []),
        (GOOD, [b""] * MOST_PARTS),
    ):
        assert unpacked(packed(message, parts)) == (message, parts)


def test_lies_of_size_cost_nothing():
    lies = [framed(b"", length=2**32 - 1), claimed(GOOD, [2**62, 2**62]), claimed(GOOD, [2**31])]
    tracemalloc.start()
    for lie in lies:
        assert outcome(lie) is None
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_notebook_s_message_is_checked_as_well():
    """It is read already, and so holds what Python can hold."""
    assert checked({"do": "hello", "a": [1]}) == {"do": "hello", "a": [1]}
    for bad in (None, [], "hello", {"do": 1}, {"do": "x", "a": nested(8)}):
        with pytest.raises(MessageError):
            checked(bad)
