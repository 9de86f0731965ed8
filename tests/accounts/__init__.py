"""A Django app with user models for tests."""
