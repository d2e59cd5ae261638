"""Components, their settings, and the plugins that register them."""
