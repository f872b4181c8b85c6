#!/usr/bin/python3 -IS
"""Starts quictunnel with its own libraries, and without those of the system and the user."""

import sys

sys.path.insert(0, "/usr/lib/quictunnel")

from quictunnel.__main__ import main

main()
