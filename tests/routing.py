"""The routing of the test project: nothing but the defaults."""

channel_routing: list[object] = []
