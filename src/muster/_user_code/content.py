"""Digest values by what they hold: equal in every process, whatever its addresses and its order of sets."""

import contextvars
import copyreg
import functools
import hashlib
import io
import sys
import threading
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, type(...), type(NotImplemented)})
_HOLDS_NOTHING: Final = (
    *(weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet),
    *(type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event, threading.Semaphore),
    *(threading.Barrier, threading.local, threading.Thread),
)
"""Caches, locks and the like: no row depends on what is in them."""

_HOLDS_NOTHING_BY_NAME: Final = frozenset(
    {
        ("_abc", "_abc_data"),
        ("os", "_Environ"),
        ("multiprocessing.synchronize", "Lock"),
        ("multiprocessing.synchronize", "RLock"),
        ("random", "Random"),  # nobody can tell a seed that was chosen from one that was drawn
        ("random", "SystemRandom"),
        ("numpy.random.mtrand", "RandomState"),
        ("concurrent.futures.thread", "ThreadPoolExecutor"),
        ("concurrent.futures.process", "ProcessPoolExecutor"),
        ("_queue", "SimpleQueue"),
    }
)
_LONGEST_CHOSEN_SEED: Final = 96
"""In bits. NumPy draws 128 where nobody chooses a seed; such a seed differs by process, so it is not compared."""

_BY_DESCRIPTION: Final = (
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_REDUCE: Final = 4
"""The protocol of pickle that every Python which muster runs on has."""

_LARGE: Final = 1 << 64
_MUCH: Final = 1 << 20
"""From so many bytes on SHA-256 is used, which processors have instructions for: 1.7 GB/s, BLAKE2 0.7."""

Named = Callable[[object], str | None]
"""Gives what a function, class or module is known by; ``None`` for one that must be digested by what it holds."""

Parts = Callable[[Any], Iterable[object]]
"""Lists what a function or a class is made of."""


class Contents:
    """Digests values; ``odd`` collects the kinds of object that cannot be compared."""

    def __init__(self, *, named: Named, parts: Parts) -> None:
        """Take how functions, classes and modules are named, and what they are made of."""
        self._named = named
        self._parts = parts
        self._known: dict[int, tuple[bytes, object]] = {}  # the value is kept, so that no other gets its id
        self._open: dict[int, int] = {}
        self.odd: set[str] = set()

    def digest(self, value: object) -> bytes:
        """Digest one value with all that it holds."""
        if type(value) in _PLAIN:
            return _hash(type(value).__name__.encode(), _plain(value))
        key = id(value)
        if key in self._known:
            return self._known[key][0]
        if key in self._open:  # it contains itself: say how many levels up
            return _hash(b"again", str(len(self._open) - self._open[key]).encode())
        self._open[key] = len(self._open)
        try:
            digest = self._digest(value)
        finally:
            del self._open[key]
        self._known[key] = digest, value
        return digest

    def _digest(self, value: object) -> bytes:  # noqa: PLR0911 (a case for each kind of value)
        kind = type(value)
        if isinstance(value, _HOLDS_NOTHING) or _name_of(kind) in _HOLDS_NOTHING_BY_NAME:
            return _hash(b"holds nothing", repr(_name_of(kind)).encode())
        parts = self._code(value)
        if parts is not None:
            return parts
        match value:
            case bytes() | bytearray() if kind in {bytes, bytearray}:
                return _hash(kind.__name__.encode(), value)
            case io.IOBase():
                return self._file(value)
            case list() | tuple() if kind in {list, tuple}:
                return self._list(value)
            case set() | frozenset():
                return self._unordered(value, value, is_short=_are_short(value))
            case types.MappingProxyType():
                is_short = _are_short(value) and _are_short(value.values())
                return self._unordered(value, value.items(), is_short=is_short)
            case dict() if kind is dict:  # in order: of rules, the first that fits may count
                return self._all(kind, [list(value), list(value.values())])
            case dict() if not isinstance(value, OrderedDict):
                rest = [kind, getattr(value, "__dict__", None), getattr(value, "default_factory", None)]
                return self._all(kind, [*rest, dict(value)])
        return self._table(value) or self._object(value)

    def _code(self, value: Any) -> bytes | None:  # noqa: ANN401, PLR0911 (whatever there is in a program, a case each)
        """Digest functions, classes, modules, and what wraps them; ``None`` for all else."""
        kind = type(value)
        match value:
            case types.ModuleType() | type() | types.FunctionType() | types.BuiltinFunctionType() | types.CodeType():
                name = self._named(value)
                return self._all(kind, self._parts(value)) if name is None else _hash(b"named", name.encode())
            case types.MethodType():
                return self._all(kind, [value.__func__, value.__self__])
            case property():
                return self._all(kind, [value.fget, value.fset, value.fdel])
            case staticmethod() | classmethod():
                return self._all(kind, [value.__func__])
            case types.CellType():
                return self._all(kind, [value.cell_contents] if value != types.CellType() else [])
            case contextvars.ContextVar():
                return _hash(b"ContextVar", value.name.encode())
            case functools._lru_cache_wrapper():  # noqa: SLF001 (there is no other name for it)
                return self._all(kind, [value.__wrapped__, sorted(value.cache_parameters().items())])
        return _hash(b"descriptor", value.__name__.encode()) if isinstance(value, _BY_DESCRIPTION) else None

    def _all(self, kind: type, parts: Iterable[object]) -> bytes:
        return _hash(kind.__name__.encode(), *[self.digest(part) for part in parts])

    def _list(self, value: list[Any] | tuple[Any, ...]) -> bytes:
        if _are_short(value):  # ten times as fast
            return _hash(type(value).__name__.encode(), repr(value).encode(errors="surrogatepass"))
        return self._all(type(value), value)

    def _unordered(self, whole: object, items: Collection[Any], *, is_short: bool) -> bytes:
        kind = type(whole)
        if is_short:  # ten times as fast
            contents = ["\n".join(sorted(map(repr, items))).encode(errors="surrogatepass")]
        else:
            contents = sorted(self.digest(item) for item in items)
        if kind in {set, frozenset, types.MappingProxyType}:
            return _hash(kind.__name__.encode(), *contents)
        return _hash(*[self.digest(part) for part in (kind, getattr(whole, "__dict__", None))], *contents)

    def _file(self, file: io.IOBase) -> bytes:
        """Digest an open file by its name; what it holds is compared where it is read."""
        if isinstance(file, io.StringIO | io.BytesIO):
            return self._object(file)
        name = "" if file.closed or file.writable() else str(getattr(file, "name", ""))
        return _hash(b"file", name.encode(errors="surrogatepass"))

    def _table(self, value: object) -> bytes | None:
        """Digest arrays and tables fast; ``None`` for all else."""
        library = type(value).__module__.partition(".")[0]
        if library == "numpy" or ("numpy" in sys.modules and isinstance(value, sys.modules["numpy"].ndarray)):
            return self._array(value)
        if library == "pandas" and isinstance(value, _pandas_kinds()):
            return self._pandas(value)
        if library == "pyarrow" and hasattr(value, "to_pandas"):
            return self._all(type(value), [str(getattr(value, "schema", "")), value.to_pandas()])
        return None

    def _array(self, value: Any) -> bytes | None:  # noqa: ANN401 (NumPy is not imported here)
        seeds = getattr(getattr(value, "bit_generator", value), "seed_seq", None)
        if seeds is not None and getattr(seeds, "entropy", None) is not None:
            drawn = isinstance(seeds.entropy, int) and seeds.entropy.bit_length() > _LONGEST_CHOSEN_SEED
            return _hash(b"generator") if drawn else None
        if not hasattr(value, "strides") or not value.shape or hasattr(value, "mask"):
            return None
        kind = _hash(str(value.dtype.descr if value.dtype.names else value.dtype).encode(), str(value.shape).encode())
        if value.dtype.names:  # field by field: what lies between fields is nobody's
            return _hash(kind, *[self.digest(value[name]) for name in value.dtype.names])
        if value.dtype.hasobject:
            return _hash(kind, self.digest(value.tolist()))
        flat = sys.modules["numpy"].ascontiguousarray(value).reshape(-1)
        return _hash(kind, flat.view("uint8").data if flat.itemsize else b"")

    def _pandas(self, value: Any) -> bytes:  # noqa: ANN401 (pandas is not imported here)
        pandas = sys.modules["pandas"]
        if isinstance(value, pandas.DataFrame):
            columns = [value.iloc[:, at] for at in range(value.shape[1])]
            return self._all(type(value), [value.columns, value.index, *columns, value.attrs])
        if isinstance(value, pandas.RangeIndex):
            return self._all(type(value), [value.start, value.stop, value.step, value.name])
        if isinstance(value, pandas.MultiIndex):
            return self._all(type(value), [list(value.names), value.to_frame(index=False, allow_duplicates=True)])
        kind = value.dtype
        parts = [value.name, str(kind), getattr(value, "freqstr", None), getattr(value, "index", None)]
        parts += [getattr(kind, "categories", None), getattr(kind, "ordered", None)]
        if isinstance(kind, sys.modules["numpy"].dtype) and not kind.hasobject:  # as fast as memory can be read
            plain = value.to_numpy()
        elif str(kind) == "object":
            plain = value.tolist()
        elif (text := _texts(value)) is not None:
            plain = text
        else:
            plain = pandas.util.hash_pandas_object(value, index=False).array
        return self._all(type(value), [*parts, plain])

    def _object(self, value: object) -> bytes:
        """Digest any other object by what a pickle of it would hold, part by part."""
        kind = type(value)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reduce = copyreg.dispatch_table.get(kind)
                reduced = reduce(value) if reduce else value.__reduce_ex__(_REDUCE)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 (whatever it is that an object cannot be reduced for)
            return self._by_attributes(value)
        if isinstance(reduced, str):
            return _hash(b"global", f"{getattr(value, '__module__', '')}.{reduced}".encode())
        function, arguments, *rest = reduced
        state = _attributes(rest[0]) if rest else None
        items = [list(more) for more in rest[1:2] if more is not None]
        pairs = [list(more) for more in rest[2:3] if more is not None]
        return self._all(kind, [function, arguments, state, *items, *pairs])

    def _by_attributes(self, value: object) -> bytes:
        kind = type(value)
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, Mapping) or not attributes:
            self.odd.add(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."))
            return _hash(b"odd", kind.__qualname__.encode())
        return self._all(kind, [kind, _attributes(attributes)])


def _texts(value: Any) -> list[bytes] | None:  # noqa: ANN401 (a Series or an Index)
    """Digest a column of text that Arrow holds, as fast as memory can be read; ``None`` for any other."""
    if str(value.dtype) not in {"str", "string"} or getattr(value.dtype, "storage", "") != "pyarrow":
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.chunked_array(value.array.__arrow_array__())
    texts, lengths, gaps = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for chunk in column.cast(pa.large_string()).chunks:
        _, offsets, data = chunk.buffers()
        ends = sys.modules["numpy"].frombuffer(offsets, "int64")[chunk.offset : chunk.offset + len(chunk) + 1]
        texts.update(memoryview(data)[ends[0] : ends[-1]] if data is not None and len(ends) else b"")
        lengths.update((ends[1:] - ends[:-1]).data)
        gaps.update(pc.is_valid(chunk).cast("uint8").to_numpy(zero_copy_only=False).data)
    return [texts.digest(), lengths.digest(), gaps.digest()]


def _attributes(state: object) -> object:
    """Make the attributes of an object unordered: which of them was set first does not matter."""
    return types.MappingProxyType(state) if isinstance(state, dict) else state


def _pandas_kinds() -> tuple[type, ...]:
    pandas = sys.modules["pandas"]
    return pandas.DataFrame, pandas.Series, pandas.Index


def _are_short(values: Collection[Any]) -> bool:
    kinds = set(map(type, values))
    if int in kinds:  # one of thousands of digits has no text in decimals
        return kinds <= {int, bool} and all(-_LARGE < value < _LARGE for value in values)
    return kinds <= {float, bool, str, type(None)}


def _name_of(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _plain(value: object) -> bytes:
    return hex(value).encode() if type(value) is int else repr(value).encode(errors="surrogatepass")


def _hash(*parts: "bytes | bytearray | memoryview") -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(str(len(part)).encode() + b":")
        digest.update(part if len(part) < _MUCH else hashlib.sha256(part).digest())
    return digest.digest()
