"""`gatecast status`: a running server in one look, problems first."""

import sys
import time
from typing import Any

import click

from gatecast import output, remote
from gatecast.exits import Exit, Usage
from gatecast.parameters import DURATION
from gatecast.remote import Server
from tenants.errors import Unavailable

COLOURS = {"error": "red", "warning": "yellow"}
CLEAR = "\033[H\033[2J"


@click.command("status")
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--every", type=DURATION, default="2s", show_default=True, help="How often --watch looks.")
@click.option("--exit-code", is_flag=True, help="Exit code 3 if something is wrong.")
@remote.server
@output.option()
def command(watch: bool, every: float, exit_code: bool, server: Server, output: str) -> int:
    """Show a running server in one look: whether everything is fine, and if not, what is wrong and where to look."""
    from gatecast.look import look
    from gatecast.output import show

    if watch:
        if output not in ("table", "wide"):
            raise Usage("--watch shows many states, and -o json and yaml are one document: leave one of them out")
        return _watched(server, every)
    seen = look(server)
    show(output, seen, lambda _wide: text(seen))
    return Exit.FINDINGS if exit_code and not seen["fine"] else Exit.FINE


def _watched(server: Server, every: float) -> int:
    """Until somebody ends it; a server that goes away is waited for."""
    from gatecast.look import look
    from gatecast.output import paint

    while True:
        try:
            said = text(look(server))
        except Unavailable as error:
            said = f"{paint('no answer', 'red')}: {error}"
        print(CLEAR + said if sys.stdout.isatty() else f"{said}\n", flush=True)
        time.sleep(every)


def text(seen: dict[str, Any]) -> str:
    """One screen."""
    from gatecast.output import clean, counted, paint

    errors = sum(one["severity"] == "error" for one in seen["faults"])
    word = paint("everything is fine", "green") if seen["fine"] else paint(f"{counted(errors, 'problem')}", "red")
    top = f"{word}: gatecast {seen['version']} at {seen['server']}"
    faults = [
        f"  {paint(one['severity'], COLOURS.get(one['severity'], 'white'))}: {clean(one['what'])}"
        + (f"  -> {one['see']}" if one["see"] else "")
        for one in seen["faults"]
    ]
    rows = [
        ("server", f"{'ready' if seen['ready'] else 'not ready'}, revision {seen['revision']}"),
        ("store", _store(seen["store"])),
        ("documents", ", ".join(counted(count, kind.lower()) for kind, count in seen["documents"].items())),
        ("sources", _sources(seen["sources"])),
        ("gateways", ", ".join(seen["gateways"]) or "none"),
        ("proxies", _counts(seen["clients"], "none is connected")),
        ("key sets", _counts(seen["key_sets"], "none is needed")),
        ("pins", {None: "-", 0: "none"}.get(seen["pins"], str(seen["pins"]))),
    ]
    return "\n".join([top, *faults, "", *(f"{name:<10} {clean(value)}" for name, value in rows)])


def _store(store: dict[str, Any]) -> str:
    from gatecast.output import since

    if store["state"] == "none":
        return "none: this server serves files alone"
    if store["state"] != "up" or not store["last"]:
        return str(store["state"])
    last = store["last"]
    return f"up, last change {since(last['at'])} ago by {last['author']} (revision {last['number']})"


def _sources(sources: list[dict[str, Any]] | None) -> str:
    if not sources:
        return "none" if sources is not None else "-"
    return ", ".join(f"{one['name']} ({_source(one)})" for one in sources)


def _source(one: dict[str, Any]) -> str:
    out = f", {one['kept_out']} kept out" if one.get("kept_out") else ""
    return f"{'failed' if one['last_error'] else one['documents']}{out}"


def _counts(found: dict[str, int], none: str) -> str:
    return ", ".join(f"{count} {state.lower().replace('_', ' ')}" for state, count in sorted(found.items())) or none
