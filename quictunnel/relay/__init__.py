"""Joins a client's TCP connection and its stream."""
