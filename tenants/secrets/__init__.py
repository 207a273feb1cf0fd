"""Certificates, keys and authorities that documents name: read, checked, kept while they are good, looked at again."""
