"""Makes quictunnel say that it is an old version. Not a test.

The interpreter imports this module in a program that starts with this folder in PYTHONPATH.
"""

import quictunnel

quictunnel.__version__ = "0.0.9"
