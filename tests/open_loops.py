"""What Python warns of in some later test, wherever it happens to look: loops that nobody has closed."""

import asyncio
import gc


def open_loops() -> set[int]:
    """Tell which event loops of this process are open."""
    loops = [one for one in gc.get_objects() if issubclass(type(one), asyncio.AbstractEventLoop)]
    return {id(one) for one in loops if not one.is_closed()}
