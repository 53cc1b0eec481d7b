"""What a run with differential privacy promises, in the sentences of report and card."""

from tunesmith.report.document import Privacy


def told(found: Privacy) -> list[str]:
    """-> what holds, how it was reached, and what it does not cover."""
    how = (
        f"{found.steps} steps were planned over {found.rows} rows; each step drew every row with chance "
        f"{found.sample_rate:.3g}, clipped its gradient at {found.clip:g} and added noise of "
        f"{found.noise_multiplier:.4g} times that."
    )
    if found.epsilon is None:
        return ["Nothing is promised: gradients were clipped, but there was no noise.", how]
    said = [
        f"Whatever can be read from the weights would come out nearly as likely without any one training row: by a "
        f"factor of at most e^{found.epsilon:.3g}, but for a chance of {found.delta:.2g}.",
        how,
    ]
    if found.reproducible:
        said.append("The noise follows from the seed of the recipe: this holds only against those who do not know it.")
    said.append(
        "Not covered: validation and test rows, the metrics of the run (losses, lengths of gradients), and a person "
        "who stands in several rows, for whom it is that many times weaker."
    )
    return said
