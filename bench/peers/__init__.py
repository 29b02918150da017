"""Other ways to hand numbers to workers, measured beside the dispatcher."""
