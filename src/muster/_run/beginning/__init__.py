"""What is there before the first task: the run, its inputs, and its output, which nobody else works on."""
