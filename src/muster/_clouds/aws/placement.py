"""Where machines of AWS are made, of which type and image, and how they are paid for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Where machines are made, of which type, and how they are paid for."""

    type: str
    zone: str
    subnet: str
    vpc: str
    image: str
    root_device: str
    cores: int
    is_spot: bool = False
    is_near: bool = False
    """Whether this computer is in the machines' own network, and finds them where they find each other."""
    architecture: str = ""
    """Of the type, as AWS calls it."""
    disk: int = 0
    """The least that a machine of that image can have, in GiB."""
    has_all: bool = False
    """Whether the image is one of muster's own, in which all is installed."""
    says_terminate: bool = True
    """Whether AWS is told to end what powers itself off: sources differ on whether it hears that of spot machines."""

    @property
    def market(self) -> str:
        """Say how they are paid for."""
        return "spot" if self.is_spot else "on demand"

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.type}, {self.market}, in {self.zone}"
