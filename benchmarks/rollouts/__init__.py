"""What gates let through: rollouts of invented fleets under Muster's policy and under models of others' documented rules."""
