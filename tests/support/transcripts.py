"""Recorded exchanges with a real Kong, and their replay against the double: what differs, exchange by exchange.

The files are those of the recording, compressed. Ids that Kong made up are given to the double as it needs them, and
its clocks show the time of the recording, so that what is compared is nearly everything: the status, and the body as
JSON without times, without what only a real process has (memory, connections), made up secrets, and prose in schemas.
"""

import gzip
import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import yaml

from kong_double.double import Double
from kong_double.pages import Node
from kong_double.plane import Forward
from kong_double.schema import UUID, new_id
from kong_double.timers import Hand, Timers
from kong_double.wire import Request, Response
from kong_sync.entities import KINDS

FOLDER = Path(__file__).parents[1] / "kong_sync" / "transcripts"
PROXIES, STATUSES, DBLESS = (28000, 28100), (28007, 28107), (28101, 28107)
OURS = (*(kind.path for kind in KINDS.values()), "tags", "schemas", "config", "status")
OTHERS = ("basic-auth", "hmac-auth", "oauth2", "validate")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded exchange: `name` is file and number."""

    name: str
    intent: str
    port: int
    request: Request
    status: int
    body: str
    at: float

    @property
    def is_ours(self) -> bool:
        """It concerns entities or pages that we use."""
        parts = self.request.path.split("/")
        if self.port in PROXIES:
            return True
        return (parts[1] == "" or parts[1] in OURS) and not any(one in parts for one in OTHERS)

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def files() -> list[str]:
    """In the order of the recording."""
    found = sorted(FOLDER.glob("*/*.jsonl.gz"), key=lambda one: (one.parent.name != "postgres", one.name))
    return [f"{one.parent.name}/{one.name.removesuffix('.jsonl.gz')}" for one in found]


def exchanges(file: str) -> Iterator[Exchange]:
    with gzip.open(FOLDER / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield _exchange(file, json.loads(line))


def _exchange(file: str, row: dict[str, Any]) -> Exchange:
    asked, told = row["request"], row["response"]
    request = Request(asked["method"], asked["path"], tuple(asked["headers"].items()), _sent(asked["body"]))
    date = dict(told["headers"]).get("Date")
    at = parsedate_to_datetime(date).timestamp() if date else 0.0
    return Exchange(
        f"{file}#{row['n']}", row.get("intent", ""), asked["port"], request, told["status"], told["body"] or "", at
    )


def _sent(body: str) -> bytes:
    return body.encode("utf-8", "surrogateescape")


@dataclass(eq=False)
class Replay:
    """One double for the files of one Kong, which ran in order."""

    dbless: bool
    clock: Hand = field(default_factory=lambda: Hand(0.0))
    ids: deque[str] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.double = Double(Node(dbless=self.dbless), Timers(period=1.0), clock=self.clock, wall=self.clock)
        self.double.api.ids = self._next_id

    def _next_id(self) -> str:
        return self.ids.popleft() if self.ids else new_id()

    def begin(self, file: str) -> None:
        """The proxy's file was recorded with a Kong of its own: its node has another id, its first route is its own.

        Before the routes' file somebody made the service `ts` without recording it: later lists hold it.
        """
        if file == "postgres/11-proxy":
            self.double.restart(empty=True)
            self.double.api.ids = self._next_id
        if file == "postgres/03-routes":
            body = json.dumps(UNRECORDED).encode()
            self.double.admin(Request("POST", "/services", (("Content-Type", "application/json"),), body))

    def differs(self, one: Exchange) -> str:
        """Why the double's answer is not the recorded one, "" if it is."""
        self._prepare(one)
        if "without LMDB" in one.intent:
            self.double.restart(empty=True)
        told = self._ask(one)
        if told.status != one.status:
            return f"status {told.status}, not {one.status}: {told.body[:200].decode('utf-8', 'replace')}"
        if one.request.method == "HEAD":
            return ""
        wanted = one.json()
        if wanted is None:
            return ""
        ours = normal(one, json.loads(told.body) if told.body else None)
        theirs = normal(one, wanted)
        return "" if ours == theirs else f"{difference(ours, theirs)}"

    def _prepare(self, one: Exchange) -> None:
        """What Kong made up in this exchange is what the double will make up."""
        self.ids.clear()
        body = one.json()
        if one.at:
            self.clock.now = max(self.clock.now, one.at)
        if isinstance(body, dict) and one.request.method in ("POST", "PUT") and isinstance(body.get("id"), str):
            self.ids.append(body["id"])
            if isinstance(body.get("updated_at"), float):
                self.clock.now = max(self.clock.now, body["updated_at"])

    def _ask(self, one: Exchange) -> Response:
        if one.port in PROXIES:
            self.clock.now += 2.0  # the recording waited until changes were effective
            self.double.plane.port = one.port
            self.double.view.advance()
            self.clock.now -= 2.0
            return self.double.proxy(one.request, service)
        if one.port in STATUSES and not one.request.path.startswith("/status"):
            return Response(404, (), b'{"message":"Not found"}')
        return self.double.admin(one.request)


def service(forward: Forward) -> Response:
    """The echo service behind the recorded Kong."""
    sent, port = forward.request, int(forward.address.rpartition(":")[2])
    told = {
        "port": port,
        "method": sent.method,
        "path": sent.target,
        "headers": dict(sent.headers),
        "body": sent.body.decode(),
    }
    found = re.fullmatch(r"/status/(\d+)", sent.path)
    return Response(int(found[1]) if found else 200, (), json.dumps(told).encode())


TIMES = ("created_at", "updated_at")
PROCESS = ("memory", "server", "timers", "pids", "hostname", "lua_version", "node_id", "request_id")
ROOT = ("database", "router_flavor", "role", "worker_state_update_frequency", "worker_consistency")
KEYLESS = ("targets", "plugins", "acls")
"""Without a database Kong makes the ids of these of their content, by a rule that we do not know. Lists are in the
order of ids: where these are by chance, any order will do."""
GIVEN = "0d6b5a40"
"""How ids begin that the recording chose itself."""
UNRECORDED = {"id": "c770dd25-2b62-4a36-8d48-134f5fbcd5b9", "name": "ts", "host": "h", "retries": 1}
SECRET = re.compile(r"[A-Za-z0-9]{32}")


def normal(one: Exchange, value: Any) -> Any:
    """What is compared of a body."""
    path = one.request.path
    if one.port in PROXIES:
        return _proxied(value)
    if path == "/" and isinstance(value, dict):
        told = {name: value["configuration"][name] for name in ROOT}
        used = {"enabled_in_cluster": value["plugins"]["enabled_in_cluster"]}
        return _plain(value | {"configuration": told, "plugins": used}, "")
    if "/schema" in path and isinstance(value, dict) and "fields" in value and one.request.method == "GET":
        return _schema({"fields": value["fields"]})
    if path == "/config" and one.request.method == "GET":
        return _exported(value)
    name = path.split("/")[-1]
    loose = (*KEYLESS, "routes") if one.port in DBLESS else ("snis",)
    if name in loose and isinstance(value, dict) and "data" in value:
        return {"data": _keyless(value["data"]), "more": bool(value["next"])}
    return _plain(value, "")


def _exported(value: Any) -> Any:
    """The text of `GET /config`, by what it says; rows in any order."""
    if "config" not in value:
        return value
    told = yaml.safe_load(value["config"])
    kept = {name: one for name, one in told.items() if name != "basicauth_credentials"}
    return {name: _keyless(one) if isinstance(one, list) else one for name, one in kept.items()}


def _proxied(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {name: one for name, one in value.items() if name != "request_id"}
    if isinstance(value.get("headers"), dict):
        headers = value["headers"].items()
        kept["headers"] = {
            key.lower(): _counted(one) for key, one in headers if key.lower() not in ("x-kong-request-id",)
        }
    if isinstance(value.get("path"), str):
        path, _, query = value["path"].partition("?")
        kept["path"] = [path, *sorted(query.split("&"))]
    return kept


def _counted(value: str) -> str:
    return re.sub(r"[0-9a-f-]{36}#", "<uuid>#", value)


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in (*TIMES, *PROCESS, "basicauth_credentials")}
        if name in KEYLESS and all(UUID.fullmatch(key) for key in kept):
            return _keyless(list(kept.values()))
        return {_id(key): _plain(one, key) for key, one in kept.items()}
    if isinstance(value, list):
        return [_plain(one, "") for one in value]
    return _text(value, name) if isinstance(value, str) else value


def _keyless(rows: list[Any]) -> list[Any]:
    plain = [{name: one for name, one in _plain(row, "").items() if name != "id"} for row in rows]
    return sorted(plain, key=lambda row: json.dumps(row, sort_keys=True))


def _text(value: str, name: str) -> str:
    if name == "configuration_hash":
        return "zeros" if value == "0" * 32 else "a hash"
    if name in ("key", "secret") and SECRET.fullmatch(value):
        return "<made up>"
    if "with primary key set to" in value:
        return re.sub(UUID.pattern, lambda found: "<made>" if found[0][14] == "5" else found[0], value)
    return re.sub(f"(?i){UUID.pattern}", lambda found: _id(found[0]), value)


def _id(value: str) -> str:
    """Ids by chance (version 4) are not compared, those that somebody chose or that are made of a name are."""
    return "<random>" if UUID.fullmatch(value) and value[14] == "4" and not value.startswith(GIVEN) else value


def _schema(value: Any) -> Any:
    """Rows of fields as one object; without prose, and without what Kong adds to a schema when it is first used."""
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in ("description", "indexed", "on_delete")}
        return {key: _schema(one) for key, one in kept.items() if (key, one) != ("len_min", 1) and key != "required"}
    if isinstance(value, list) and value and all(isinstance(one, dict) and len(one) == 1 for one in value):
        return {key: _schema(one) for row in value for key, one in row.items()}
    return [_schema(one) for one in value] if isinstance(value, list) else value


def difference(ours: Any, theirs: Any, way: str = "") -> str:
    """The first place where two values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key, "<absent>") != theirs.get(key, "<absent>"):
                return difference(ours.get(key, "<absent>"), theirs.get(key, "<absent>"), f"{way}.{key}")
    if isinstance(ours, list) and isinstance(theirs, list):
        for n, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            if a != b:
                return difference(a, b, f"{way}[{n}]")
        return f"{way}: {len(ours)} items, not {len(theirs)}"
    return f"{way or 'body'}: {json.dumps(ours)[:160]}, not {json.dumps(theirs)[:160]}"
