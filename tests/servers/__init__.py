"""Private servers for tests: on free ports of the loopback interface, ended by who began them."""
