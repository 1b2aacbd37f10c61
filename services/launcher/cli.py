def main() -> None:
    """Entry point of the `cortexai` command."""
