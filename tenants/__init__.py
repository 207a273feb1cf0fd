"""The settings model: documents, policies, problems, effective settings and the sources they come from.

The ground floor: it knows neither protobuf nor Envoy nor Kong. `xds`, `kong_sync` and `gatecast` stand on it.
"""
