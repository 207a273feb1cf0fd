"""The Kong side: the tenants' settings as Kong's entities, planned and written to its Admin API by the sidecar."""
