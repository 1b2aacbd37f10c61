"""The `cortexai` command: starts the system's parts as processes, migrates its database, finds what is wrong."""
