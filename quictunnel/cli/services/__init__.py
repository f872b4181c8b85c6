"""Services of the machine's service manager that run a role: systemd, launchd and OpenRC."""
