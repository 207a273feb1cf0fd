"""A small gateway and first words for the dialogues of tests/xds/test_stream*.py."""

import talk
from talk import Talk, delta, one, sotw

from xds.stream import Stream

START = talk.snapshot(
    CDS=[one("CDS", "a", companion="ea"), one("CDS", "b", companion="eb")],
    EDS="ea eb",
    LDS="l",
    SRDS=[one("SRDS", "s1", uses=["r1"])],
    RDS=[one("RDS", "r1", uses=["a"])],
)


def talking(*, is_delta: bool) -> Talk:
    return Talk(Stream(START, delta=is_delta))


def first(talk_: Talk, kind: str, names: str = "") -> list[str]:
    return talk_.ask(delta(kind, names) if talk_.machine.delta else sotw(kind, names))
