"""The verbs of the command line, a file each: ``add`` says what can be typed, ``call`` does it."""
