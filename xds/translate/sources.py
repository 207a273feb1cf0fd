"""Where everything comes from that a resource of ours names: the stream that brought the resource."""

from google.protobuf.message import Message

from xds import messages

ConfigSource = messages.message("envoy.config.core.v3.ConfigSource")
ExtensionConfigSource = messages.message("envoy.config.core.v3.ExtensionConfigSource")
AggregatedConfigSource = messages.message("envoy.config.core.v3.AggregatedConfigSource")

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version="V3")


def by_ecds(type_url: str) -> Message:
    """A filter's configuration that comes as a resource of the filter's name."""
    return ExtensionConfigSource(config_source=ADS, type_urls=[type_url])
