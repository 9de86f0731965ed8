"""What the site does beyond Sphinx, its theme and MyST: one module for each thing."""
