"""Finds out why a tunnel does not work: checks of the network, the machine, files and servers."""
