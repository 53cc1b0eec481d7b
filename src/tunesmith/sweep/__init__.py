"""The settings of a recipe by many short runs, judged on validation rows; the test rows are for the winner alone."""
