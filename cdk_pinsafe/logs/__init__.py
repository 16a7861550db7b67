"""Reads the logs of RDS Proxy: what pins, how often, since when, who sends it, and what to do about it."""
