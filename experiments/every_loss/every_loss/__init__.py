"""The study ``every_loss``: what equal numbers of trials make of each loss."""
