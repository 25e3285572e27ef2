"""Coverage-guided fuzzing: ``targets`` says what must hold for any octets, ``seeds`` where to begin, ``run`` drives."""
