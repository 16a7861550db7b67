"""Tests of the local cloud, through its API."""
