"""What a diff shows: the fields that changed, both values, and no secret."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from stores import key

from tenants.store import Change, Stored, diffs
from tenants.store.redaction import HIDDEN, redacted
from tenants.store.revisions import canonical

CANARY = "c4n4ry-5ecret"


def stored(source: str = "api", **body: Any) -> Stored:
    return Stored(key(), canonical({"kind": "Tenant", "id": "acme", **body}), source, 1)


def fields(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of one changed document."""
    (found,) = diffs([Change(key(), stored(**before), stored(**after))])
    return list(found.as_json()["fields"])


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ({"status": "active"}, {"status": "suspended"}, "status"),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, "a.b.c"),
        ({"split": [{"weight": 1}, {"weight": 2}]}, {"split": [{"weight": 1}, {"weight": 3}]}, "split[1].weight"),
        ({"hosts": ["a"]}, {"hosts": ["a", "b"]}, "hosts"),
        ({"n": 1}, {"n": True}, "n"),
        ({"n": 1}, {"n": 1.0}, "n"),
    ],
)
def test_a_changed_field_is_named_as_users_write_it(before: Any, after: Any, path: str) -> None:
    (found,) = fields(before, after)
    assert found["path"] == path
    assert found["before"] != found["after"] or type(found["before"]) is not type(found["after"])


def test_null_is_a_value_and_missing_is_none() -> None:
    assert fields({}, {"cors": None}) == [{"path": "cors", "after": None}]
    assert fields({"cors": None}, {}) == [{"path": "cors", "before": None}]


def test_a_created_and_a_deleted_document_show_all_their_fields() -> None:
    made, gone = diffs(
        [Change(key("b"), None, stored("file:b.yaml", n=1)), Change(key("c"), stored(n=2), None)],
    )
    assert made.as_json() == {
        "kind": "Tenant",
        "id": "b",
        "change": "created",
        "source": {"before": "", "after": "file:b.yaml"},
        "fields": [{"path": "n", "after": 1}],
    }
    assert (gone.what, [field.path for field in gone.fields]) == ("deleted", ["n"])


def test_a_document_taken_over_shows_its_sources_alone() -> None:
    (found,) = diffs([Change(key(), stored("file:a.yaml", n=1), stored("api", n=1))])
    assert (found.source_before, found.source_after, found.fields) == ("file:a.yaml", "api", ())


SECRETS: list[Any] = [
    {"policies": {"headers": {"request": {"set": {"Authorization": f"Bearer {CANARY}"}}}}},
    {"policies": {"headers": {"request": {"add": {"x-api-key": CANARY}}}}},
    {"policies": {"authz": {"service": "opa", "context": {"client_secret": CANARY}}}},
    {"policies": {"jwt": {"jwks": {"keys": [{"kty": "oct", "k": CANARY}]}}}},
    {"policies": {"jwt": {"jwks": {"uri": f"https://user:{CANARY}@login.example/keys"}}}},
    {"match": {"headers": {"x-auth-token": {"prefix": CANARY}}}},
    {"text": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"},
    {"passwords": [{"value": CANARY}, CANARY]},
]


@pytest.mark.parametrize("body", SECRETS)
def test_a_secret_is_not_shown_and_its_change_is(body: Any) -> None:
    other = json.loads(json.dumps(body).replace(CANARY, f"{CANARY}-new"))
    for before, after in ((body, other), ({}, body), (body, {})):
        found = fields(before, after)
        assert found
        assert CANARY not in json.dumps(found)
        assert HIDDEN in json.dumps(found)


def test_secrets_by_type_are_hidden_and_ordinary_values_are_not() -> None:
    assert redacted({"a": SecretStr(CANARY), "b": ["x", 1, None, True]}) == {"a": HIDDEN, "b": ["x", 1, None, True]}
    plain = {"tenant": {"from": "header", "name": "x-auth-token"}, "credentials": True, "uri": "https://a.b/c@d"}
    assert redacted(plain) == plain
    assert redacted({"keys": [{"kty": "RSA", "n": "abc", "e": "AQAB"}], "k": "v"}) == {
        "keys": [{"kty": "RSA", "n": "abc", "e": "AQAB"}],
        "k": "v",
    }
