"""What a recipe leaves to a trial (`auto`): a few values, each for a few steps, judged on validation rows."""
