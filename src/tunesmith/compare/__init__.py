"""Several methods on the same data: each trained in a process of its own, in turn, and held against each other."""
