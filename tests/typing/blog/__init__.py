"""An application written against the public API, as users write one who have mypy check it."""
