"""A real Envoy accepts what `xds.translate` makes of every odd document of the corpus."""

from collections.abc import Callable
from pathlib import Path

import corpora
import envoys
import pytest
import statics
from worlds import World, gateway, route, service, tenant, world

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("corpus", [corpora.by_header, corpora.by_host, corpora.by_claim])
async def test_envoy_accepts_every_document_of_the_corpus(corpus: Callable[[], World]) -> None:
    documents = corpus()
    assert await envoys.validate(statics.bootstrap(documents.gateway, documents.views(), documents.services)) == ""


async def test_envoy_finds_what_it_would_refuse() -> None:
    """The net has no hole: the same way of asking does refuse."""
    documents = world([gateway(), service(), route(), tenant()])
    broken = statics.bootstrap(documents.gateway, documents.views(), documents.services)
    broken["static_resources"]["clusters"][0]["connect_timeout"] = "-1s"
    assert "Expected positive duration" in await envoys.validate(broken)


async def test_nothing_of_it_is_deprecated(tmp_path: Path) -> None:
    documents = corpora.by_header()
    running = statics.bootstrap(documents.gateway, documents.views(), documents.services)
    for listener in running["static_resources"]["listeners"]:
        listener["address"]["socket_address"]["port_value"] = 0
    async with envoys.envoy(running, tmp_path, log_level="warning") as proxy:
        await proxy.admin("/ready")
        assert "eprecated" not in proxy.log
        assert await proxy.stats("deprecated_feature_use") == {"runtime.deprecated_feature_use": 0}
