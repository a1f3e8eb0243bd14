"""What each message may contain, read once from the generated classes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache

import betterproto
from betterproto.lib.google.protobuf import Duration, Timestamp

__all__ = ["Field", "Kind", "Schema", "schema_of"]


class Kind(Enum):
    """How the value of a field is written."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    TEXT = 3
    MESSAGE = 4
    FIXED32 = 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how it is called, and how its value is written."""

    name: str
    kind: Kind
    wire_type: int
    largest: int = 2**64 - 1
    """The largest number that a varint may be."""
    is_packable: bool = False
    """Whether many values may come as one block."""
    message: Schema | None = None
    cost: int = 1
    """How many elements it counts for: about the microseconds that decoding it takes, in units of an argument."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of one message by their numbers."""

    name: str
    fields: dict[int, Field]
    seconds: range | None = None
    """The values of field 1 that Python can express; only for moments and durations."""
    nanos: range | None = None

    @property
    def depth(self) -> int:
        """How many messages can lie within each other, this one included."""
        return 1 + max((field.message.depth for field in self.fields.values() if field.message), default=0)


_COST_OF_SINGLE = 4
_COST_OF_MESSAGE = 8
_WELL_KNOWN: dict[type, tuple[type[betterproto.Message], range, range]] = {
    datetime: (Timestamp, range(-62_135_596_800, 253_402_300_800), range(10**9)),
    timedelta: (Duration, range(-315_576_000_000, 315_576_000_001), range(1 - 10**9, 10**9)),
}


@cache
def schema_of(message: type[betterproto.Message]) -> Schema:
    """Return the schema of a generated message."""
    return _schema(message)


def _schema(message: type[betterproto.Message], seconds: range | None = None, nanos: range | None = None) -> Schema:
    meta = _meta(message)
    fields = {field.number: _field(message, name, field) for name, field in meta.meta_by_field_name.items()}
    return Schema(message.__name__, fields, seconds, nanos)


def _field(message: type[betterproto.Message], name: str, meta: betterproto.FieldMetadata) -> Field:
    is_repeated = _meta(message).default_gen[name] is list
    kind, wire_type = _kind(meta.proto_type)
    if kind is Kind.MESSAGE:
        child = _child(_meta(message).cls_by_field[name])
        return Field(name, kind, wire_type, message=child, cost=_COST_OF_MESSAGE)
    return Field(
        name,
        kind,
        wire_type,
        largest=2**32 - 1 if meta.proto_type == betterproto.TYPE_UINT32 else 2**64 - 1,
        is_packable=is_repeated and meta.proto_type in betterproto.PACKED_TYPES,
        cost=1 if is_repeated else _COST_OF_SINGLE,
    )


def _kind(proto_type: str) -> tuple[Kind, int]:
    if proto_type in betterproto.WIRE_VARINT_TYPES:
        return Kind.VARINT, betterproto.WIRE_VARINT
    if proto_type in betterproto.WIRE_FIXED_64_TYPES:
        return Kind.FIXED64, betterproto.WIRE_FIXED_64
    if proto_type in betterproto.WIRE_FIXED_32_TYPES:
        return Kind.FIXED32, betterproto.WIRE_FIXED_32
    kinds = {betterproto.TYPE_STRING: Kind.TEXT, betterproto.TYPE_BYTES: Kind.BYTES}
    return kinds.get(proto_type, Kind.MESSAGE), betterproto.WIRE_LEN_DELIM


def _child(child: type) -> Schema:
    if child in _WELL_KNOWN:
        message, seconds, nanos = _WELL_KNOWN[child]
        return _schema(message, seconds, nanos)
    return schema_of(child)


def _meta(message: type[betterproto.Message]) -> betterproto.ProtoClassMetadata:
    # A private name of betterproto, pinned: nothing else knows the numbers and types of fields.
    meta: betterproto.ProtoClassMetadata = getattr(message, "_betterproto")  # noqa: B009 -- its descriptor has no usable type
    return meta
