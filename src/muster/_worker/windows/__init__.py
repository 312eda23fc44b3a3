"""Windows of the rows of a key: the steps that say of each row which ones it is in."""
