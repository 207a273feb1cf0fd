"""Where notifications go: how it is written, and that no secret of it is ever shown."""

import json
from pathlib import Path

import pytest

from gatecast.config import Settings, load
from gatecast.exits import Usage
from gatecast.sinks import Hook, Post, people, person

CANARY = "s3cr3t-canary"
HOOK = f"https://hooks.example.com/services/{CANARY}"
SMTP = f"smtp://ops:{CANARY}%40@mail.example.com:2525"
MAILED = {"notify_from": "gatecast@example.com", "notify_to": "ops@example.com, night@example.com"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*Settings.model_fields, "config"]:
        monkeypatch.delenv(f"GATECAST_{name.upper()}", raising=False)


def test_a_mail_server_is_read_from_its_url() -> None:
    found = Post.parse(SMTP)
    assert (found.host, found.port, found.tls, found.user, found.password) == (
        "mail.example.com", 2525, False, "ops", f"{CANARY}@",
    )  # fmt: skip
    assert Post.parse("smtp://mail.example.com") == Post("mail.example.com", 587)
    assert Post.parse("smtps://[::1]") == Post("::1", 465, tls=True)
    assert Post.parse("smtp://[::1]:25").near
    assert not found.near


@pytest.mark.parametrize(
    "text",
    [
        "", "mail.example.com:25", "http://a", "smtp://", "smtp://a:b", "smtp://a:99999", "smtp://u@a",
        f"smtp://:{CANARY}@a", f"smtp://u:{CANARY}@a/path", f"smtp://u:{CANARY}@a?x=1", f"smtp://u:{CANARY} @a",
        f"smtp://u:{CANARY}@a\r\nb", f"smtp://u:{CANARY}@[::1", f"smtp://u:{CANARY}/x@a",
    ],
)  # fmt: skip
def test_what_is_no_mail_server_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Usage, match="smtps://") as refused:
        Post.parse(text)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("text", ["", "hooks.example.com/x", "ftp://a/b", "https:///x", f"https://a/{CANARY}\n"])
def test_what_is_no_webhook_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Usage, match="https://") as refused:
        Hook.parse(text)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("text", ["ops", "@example.com", "a@b@c", "a b@c", "Ops <ops@example.com>", "a@b\r\nBcc: c@d"])
def test_an_address_of_mail_is_bare(text: str) -> None:
    with pytest.raises(Usage, match="not an address of mail"):
        person(text)


def test_people_are_given_with_commas() -> None:
    assert people("a@example.com, b@example.com,") == ("a@example.com", "b@example.com")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"notify_webhook": HOOK, "notify_smtp": SMTP, "notify_every": "60", **MAILED}.items():
        monkeypatch.setenv(f"GATECAST_{name.upper()}", value)
    found = load({"settings": "there"})
    assert (found.notify_webhook, found.notify_smtp) == (Hook.parse(HOOK), Post.parse(SMTP))
    assert found.notify_to == ("ops@example.com", "night@example.com")
    assert (found.notify_after, found.notify_every) == (30.0, 60.0)
    assert CANARY not in f"{found!r} {found} {found.notify_webhook} {found.notify_smtp}"


def test_a_file_may_have_a_list_of_people(tmp_path: Path) -> None:
    file = tmp_path / "gatecast.yaml"
    people = ["a@example.com", "b@example.com"]
    file.write_text(json.dumps({**MAILED, "settings": "there", "notify_smtp": SMTP, "notify_to": people}))
    assert load({}, file).notify_to == ("a@example.com", "b@example.com")


@pytest.mark.parametrize("name", ["notify_webhook", "notify_smtp"])
@pytest.mark.parametrize("value", [f"ftp://u:{CANARY}@a", {"password": CANARY}, [CANARY]])
def test_a_wrong_one_is_told_by_its_name_alone(name: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "gatecast.yaml"
    file.write_text(json.dumps({"settings": "there", name: value}))
    with pytest.raises(Usage, match=f"{name}: this is not") as refused:
        load({}, file)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("given", [(), ("notify_from",), ("notify_to",)])
def test_mail_needs_both_ends_and_says_so_without_its_password(given: tuple[str, ...]) -> None:
    said = {name: MAILED[name] for name in given}
    with pytest.raises(Usage, match=r"needs notify_from, .* and notify_to") as refused:
        load({"settings": "there", "notify_smtp": SMTP, **said})
    assert CANARY not in str(refused.value)
