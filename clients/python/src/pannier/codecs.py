"""How values of get_or_load() and @cached become bytes. A codec is a pair of functions."""

from __future__ import annotations

import json as _json
import pickle as _pickle
from typing import Any, Callable, NamedTuple

import msgpack as _msgpack


class Codec(NamedTuple):
    """encode(value) -> bytes, decode(bytes) -> value; decode must undo encode. Both may raise."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _same(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"codec raw: the loader must return bytes, not {type(value).__name__}")
    return value


#: None, bool, int, float, str, bytes, list, dict; tuples come back as lists. The default.
msgpack = Codec(lambda v: _msgpack.packb(v, use_bin_type=True),
                lambda b: _msgpack.unpackb(b, raw=False, strict_map_key=False))
#: Readable by everybody.
json = Codec(lambda v: _json.dumps(v, separators=(",", ":")).encode(), _json.loads)
#: Bytes as they are.
raw = Codec(_same, lambda b: b)
#: Anything of Python. Whoever may write to the cache may run code in who reads it: only where the
#: socket belongs to this application alone.
pickle = Codec(lambda v: _pickle.dumps(v, protocol=5), _pickle.loads)
