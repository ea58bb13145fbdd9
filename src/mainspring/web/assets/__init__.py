"""What pages link to: style, script and icon."""
