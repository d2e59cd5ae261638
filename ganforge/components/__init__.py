"""What there is: components, their settings, and the plugins that bring them."""
