"""A double of Kong 3.9.1 for tests, benchmarks and `gatecast demo --kong`: see `double`. It serves nobody for real."""
