"""Tests of the rehearsal, on real servers, a real local cloud and the real CDK CLI."""
