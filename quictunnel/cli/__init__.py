"""The command line: commands turn options into settings and run a role."""
