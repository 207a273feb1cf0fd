"""Where everything comes from that a resource of ours names: the stream that brought the resource."""

from xds import messages

ConfigSource = messages.message("envoy.config.core.v3.ConfigSource")
AggregatedConfigSource = messages.message("envoy.config.core.v3.AggregatedConfigSource")

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version="V3")
