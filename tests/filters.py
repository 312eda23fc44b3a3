"""System calls that the kernel refuses, as it does in containers whose filter does not know them."""

import ctypes
import os
import platform
import struct
from typing import Final

_RENAMEAT2: Final = {"x86_64": 316, "aarch64": 276}
_NO_NEW_PRIVILEGES, _SECCOMP, _BY_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EPERM: Final = 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_exchange() -> None:
    """Have the kernel refuse ``renameat2`` to this thread, and to what it starts, for as long as they live."""
    number = _RENAMEAT2[platform.machine()]
    instructions = b"".join(
        struct.pack("HBBI", *one)
        for one in ((_LOAD, 0, 0, 0), (_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | _EPERM))
    ) + struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)
    program = _Program(len(instructions) // 8, instructions)
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or kernel.prctl(_SECCOMP, _BY_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
