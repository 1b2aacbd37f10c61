"""The deployment on a Docker engine: images, compose file, documented commands. Run by `scripts/prove-compose`."""
