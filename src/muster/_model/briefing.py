"""What a worker must know for every task of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from muster._dialects import Dialect, Reading

from .code import Code, Global, Module
from .groups import Exchange
from .inputs import Column, Source
from .steps import Target


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a worker must know for every task of a run; replaced as a whole when the schema is widened."""

    sources: tuple[Source, ...]
    dialect: Dialect
    steps: tuple[Target, ...]
    format: str
    folder: str
    staging: str = ""
    """The URL of a folder where workers put rows themselves, where they do."""
    plain_bytes: int = 0
    """How much of blocks and pieces of Parquet a worker writes before it packs them, for less room and more time."""
    delimiter: str = ","
    columns: tuple[Column, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    """Each CSV file's own columns, in their order."""
    agreed: bytes = b""
    """What Parquet files together are read as; see ``_formats/_agreed``."""
    batch_rows: int | None = None
    timeout: float | None = None
    reading: Reading = field(default_factory=Reading)
    packages: Mapping[str, str] = field(default_factory=dict)
    """What the steps import, with the versions here, where a machine may have others."""
    modules: tuple[Module, ...] = ()
    """What they import of the user's own, likewise."""
    state: tuple[Global, ...] = ()
    """What the caller's program has set in modules that workers import anew."""
    calls_per_worker: int | None = None
    """After how many calls of the function a fresh worker takes the place of one."""
    code: Code = field(default_factory=Code)
    """What workers that load the steps later must find there, too; nothing where changes are accepted."""
    exchange: Exchange | None = None
    """What is done with rows between two stages, where there are several."""

    @property
    def has_header(self) -> bool:
        """Tell whether the columns that are read have names; else they are called by their numbers."""
        return not self.dialect.is_numbered or bool(self.exchange and self.exchange.agreed)
