"""A descriptor that can be read for as long as somebody in this process has something to say."""

import os


class Bell:
    """It rings from ``ring`` to ``hush``, however often either is called; ``select`` and its like hear it."""

    def __init__(self) -> None:
        """Begin in silence."""
        self._reading, self._writing = os.pipe()
        self._rings = False

    def fileno(self) -> int:
        """Name the descriptor."""
        return self._reading

    def ring(self) -> None:
        """Begin to ring."""
        if not self._rings:
            os.write(self._writing, b"!")
            self._rings = True

    def hush(self) -> None:
        """Fall silent."""
        if self._rings:
            os.read(self._reading, 1)
            self._rings = False

    def ring_for(self, untold: object) -> None:
        """Ring where there is something to say, and else fall silent."""
        (self.ring if untold else self.hush)()

    def close(self) -> None:
        """Give the descriptor back; may be repeated."""
        if self._reading >= 0:
            os.close(self._reading)
            os.close(self._writing)
        self._reading = self._writing = -1
