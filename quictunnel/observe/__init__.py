"""What the program tells about itself while it runs: logs. It uses nothing of the layers above."""
