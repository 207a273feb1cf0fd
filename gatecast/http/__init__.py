"""The routes of the HTTP API by topic, and what they share: `asking` reads requests. `gatecast.api` assembles them."""
