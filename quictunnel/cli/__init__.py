"""The command line: options -> settings -> a role; prints, exit codes. No logic of a tunnel."""
