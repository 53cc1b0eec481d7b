"""What an answer is worth: verifiers, the user's own function, a trained reward model, or a weighted sum of them."""
