"""What is told to people, and when. Pure: `gatecast.notify` brings the time and carries the messages.

    book = observe(book, troubles(...), now, pace)
    for message in due(book, now, pace):
        ...send it...
        book = told(book, message.subject, now)

The rule, for each subject: what has lasted `after` seconds is told, and what has been gone as long is over. At most one
message goes out in `every` seconds; what happens meanwhile is held back and told in the next one. A message that could
not be sent is not queued: the book stays as it was, and the next one says what is so then.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from immutables import Map

from gatecast.troubles import Trouble

SHOWN = 10  # lines of one part of a message
REMEMBERED = 1000  # items of one subject that came and went and are still to be told


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: a fault is told when it has lasted `after`; a subject has at most one message in `every`."""

    after: float = 30.0
    every: float = 300.0


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is or was wrong: since when, when it went (infinity: it is there), and whether we said so."""

    text: str
    came: float
    left: float = math.inf
    told: bool = False

    def news(self, now: float, pace: Pace) -> bool:
        return not self.told and self.left == math.inf and now - self.came >= pace.after

    def over(self, now: float, pace: Pace) -> bool:
        return now - self.left >= pace.after

    def brief(self, pace: Pace) -> bool:
        """It went before it was worth a word."""
        return not self.told and self.left - self.came < pace.after


@dataclass(frozen=True, slots=True)
class Topic:
    """What is known of one subject. `at`: when its last message went out."""

    items: Map[str, Item] = field(default_factory=Map)
    note: str = ""
    at: float = -math.inf


Book = Map[str, Topic]
"""By subject. Each sink has one of its own: what it was told is what reached it."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told of one subject. `standing`: how many items are there now, those in `new` too."""

    subject: str
    note: str
    standing: int
    new: tuple[str, ...]
    over: tuple[str, ...]
    passed: tuple[str, ...]

    @property
    def status(self) -> str:
        return "failing" if self.standing else "resolved"

    @property
    def title(self) -> str:
        return self.subject if self.standing else f"resolved: {self.subject}"

    @property
    def text(self) -> str:
        """For people, a few dozen lines at most."""
        lines = [f"{self.title} ({self.note})" if self.standing and self.note else self.title]
        older = self.standing - len(self.new)
        for head, found in (("new", self.new), ("over", self.over), ("came and went", self.passed)):
            lines += _part(head, found)
        return "\n".join([*lines, f"still there: {older}"] if older else lines)


def observe(book: Book, troubles: Iterable[Trouble], now: float, pace: Pace) -> Book:
    """The book after a look at what is wrong."""
    found = {one.subject: one for one in troubles}
    after = book.mutate()
    for subject in book.keys() | found.keys():
        topic = _observed(book.get(subject, Topic()), found.get(subject), now, pace)
        if topic.items or now - topic.at < pace.every:
            after[subject] = topic
        elif subject in after:
            del after[subject]
    return after.finish()


def due(book: Book, now: float, pace: Pace) -> tuple[Message, ...]:
    """What is to be sent now, by subject."""
    open_ = sorted(subject for subject, topic in book.items() if now - topic.at >= pace.every)
    made = (_message(subject, book[subject], now, pace) for subject in open_)
    return tuple(one for one in made if one.new or one.over or one.passed)


def told(book: Book, subject: str, now: float, pace: Pace) -> Book:
    """The message that was due `now` reached its sink."""
    topic = book[subject]
    items = {key: one for key, one in topic.items.items() if not one.over(now, pace)}
    said = {key: replace(one, told=True) for key, one in items.items() if one.news(now, pace)}
    return book.set(subject, replace(topic, items=Map({**items, **said}), at=now))


def _observed(topic: Topic, trouble: Trouble | None, now: float, pace: Pace) -> Topic:
    found: Mapping[str, str] = trouble.items if trouble else {}
    items = {key: replace(one, left=min(one.left, now)) for key, one in topic.items.items() if key not in found}
    items = {key: one for key, one in items.items() if not (one.over(now, pace) and one.brief(pace))}
    gone = sorted((key for key, one in items.items() if not one.told), key=lambda key: items[key].left)
    for key in gone[:-REMEMBERED]:
        del items[key]
    for key, text in found.items():
        items[key] = replace(topic.items.get(key, Item(text, now)), text=text, left=math.inf)
    return replace(topic, items=Map(items), note=trouble.note if trouble else topic.note)


def _message(subject: str, topic: Topic, now: float, pace: Pace) -> Message:
    def texts(which: Callable[[Item], bool]) -> tuple[str, ...]:
        return tuple(one.text for _key, one in sorted(topic.items.items()) if which(one))

    new = texts(lambda one: one.news(now, pace))
    older = texts(lambda one: one.told and not one.over(now, pace))
    over = texts(lambda one: one.told and one.over(now, pace))
    passed = texts(lambda one: not one.told and one.over(now, pace))
    return Message(subject, topic.note, len(new) + len(older), new, over, passed)


def _part(head: str, texts: tuple[str, ...]) -> list[str]:
    more = [f"- and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return [f"{head}:", *(f"- {text}" for text in texts[:SHOWN]), *more] if texts else []
