"""Whether a run may leave, and the papers that it leaves with: policy, verdict, model card, bill of materials."""
