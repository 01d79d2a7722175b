"""Finding endpoints without control: a file that names them, or names that DNS knows. ``net.dns`` asks."""
