"""What Warrant promises in numbers, measured: `python -m benchmarks [NAME]`, or `make bench NAME=...`."""

from backend.settings import disable_telemetry

disable_telemetry()  # before a peer is imported
