"""The Lua of pre-function and post-function, run by a real LuaJIT (`lupa`) with the part of Kong's PDK that we use.

`syntax` is the check of the Admin API; `Script.run` executes a text for a request. As in Kong's default sandbox there
is no `require` and no `os.execute`; what is not modelled here is nil, so a text that needs it fails as loudly as one
that is wrong. The PDK is written from the documentation: `kong.request`, `kong.response`, `kong.service`,
`kong.client` and `ngx.req` as far as our own texts go.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

try:
    import lupa.luajit21 as luajit  # type: ignore[import-untyped, unused-ignore]
except ImportError:  # then nothing with Lua in it can be tested, and says so
    luajit = None

SAFE = (
    *("_VERSION", "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type"),
    *("unpack", "xpcall", "string", "table", "math"),
)
CALL = """
return function(chunk, env)
  setfenv(chunk, env)
  local made = chunk()
  if type(made) == "function" then made() end
end
"""


SHA1 = """
return function(hexadecimal)
  return function(text)
    local given = text:gsub(".", function(one) return ("%02x"):format(one:byte()) end)
    return (hexadecimal(given):gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
  end
end
"""
"""Bytes that are no text do not pass between Lua and Python: as hexadecimals they do."""


class NoLua(Exception):
    """There is no LuaJIT here."""


LuaError: type[Exception] = luajit.LuaError if luajit else NoLua


class Stop(Exception):
    """`kong.response.exit` was called: status, body (text or table), headers."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


@lru_cache(maxsize=1)
def _runtime() -> Any:
    if luajit is None:
        raise AssertionError("the double cannot run Lua: install lupa")
    return luajit.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)


@lru_cache(maxsize=1)
def _caller() -> Any:
    return _runtime().execute(CALL)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Any:
    chunk = _runtime().globals().loadstring(text)
    return chunk if not isinstance(chunk, tuple) else chunk[1]


def syntax(text: str) -> str:
    """What is wrong with a text, "" if nothing is (or if there is no LuaJIT that could tell)."""
    if luajit is None:
        return ""
    chunk = _compiled(text)
    return f"error parsing pre-function: {chunk}" if isinstance(chunk, str) else ""


def table(value: Any) -> Any:
    """Mappings and lists as Lua tables."""
    if isinstance(value, Mapping):
        return _runtime().table_from({name: table(one) for name, one in value.items()})
    if isinstance(value, list | tuple):
        return _runtime().table_from([table(one) for one in value])
    return value


def plain(value: Any) -> Any:
    """A Lua table as dict or list."""
    if luajit.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if items and all(isinstance(name, int) for name in items):
        return [plain(items[n]) for n in sorted(items)]
    return {str(name): plain(one) for name, one in items.items()}


def run(text: str, functions: Mapping[str, Any]) -> None:
    """Execute a text. `functions`: what `kong` and `ngx` hold, by dotted name. Raises Stop, or what went wrong."""
    names = _runtime().globals()
    env: dict[str, Any] = {name: names[name] for name in SAFE}
    env["os"] = table({name: names.os[name] for name in ("clock", "date", "difftime", "time")})
    for dotted, function in functions.items():
        _put(env, dotted.split("."), function)
    stopped: list[Stop] = []
    env["kong"]["response"]["exit"] = _exit(stopped)
    try:
        _caller()(_compiled(text), table(env))
    except LuaError:
        if not stopped:
            raise
    if stopped:
        raise stopped[0]


def _put(env: dict[str, Any], way: list[str], function: Any) -> None:
    for part in way[:-1]:
        env = env.setdefault(part, {})
    env[way[-1]] = function


def _exit(stopped: list[Stop]) -> Callable[..., Any]:
    """Nothing behind `kong.response.exit` is executed: it leaves by an error, as in Kong."""

    def leave(status: int, body: Any = None, headers: Any = None) -> None:
        told = plain(headers) if headers is not None else {}
        stopped.append(Stop(int(status), plain(body), {str(k): str(v) for k, v in dict(told).items()}))
        _runtime().globals().error("exit")

    return leave


def decode_base64(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=1)
def sha1_bin() -> Any:
    """`ngx.sha1_bin`."""
    return _runtime().execute(SHA1)(lambda given: hashlib.sha1(bytes.fromhex(given), usedforsecurity=False).hexdigest())


def find(text: str, pattern: str, _options: str = "") -> int | None:
    """`ngx.re.find`: where it begins."""
    found = re.search(pattern, text)
    return found.start() + 1 if found else None


def gsub(text: str, pattern: str, by: str, _options: str = "") -> str:
    """`ngx.re.gsub`: `${1}` is a group, `$$` a dollar."""
    groups = re.compile(r"\$(?:(\$)|\{?(\d+)\}?)")
    return re.sub(pattern, lambda found: groups.sub(lambda one: one[1] or found[int(one[2])] or "", by), text)


def expression(text: str, known: Mapping[str, Any]) -> str:
    """The value of an expression as text, "" if there is none."""
    runtime = _runtime()
    made = runtime.globals().loadstring(f"local headers, query_params = ... return {text}")
    value = made(table(known["headers"]), table(known["query_params"]))
    return "" if value is None else str(value)
