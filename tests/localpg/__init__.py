"""Tests of the embedded PostgreSQL server, on every installation of this machine."""
