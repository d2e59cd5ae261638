"""The whole table of a machine's speed: `ganforge bench --all`."""
