"""The runtime of prefmill: plans, runs, stores and publishes; knows nothing about any particular stage."""
