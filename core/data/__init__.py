"""Images and labels: what a network is shown. Never imports torch."""
