"""Timed comparisons with peers, outside the test suite. Knows how to start both sides; imports neither."""
