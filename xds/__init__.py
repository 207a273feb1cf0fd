"""The Envoy side: messages, translation, snapshots, the stream machine, the ADS server and client."""
