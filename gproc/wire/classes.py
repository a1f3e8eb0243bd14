"""The generated classes: what each may contain, and how one is read. Only servers need them."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import TypeVar

import betterproto

from gproc.wire._generated.gproc import v1 as messages
from gproc.wire.prescan import Bounds, scan
from gproc.wire.schema import COST_OF_SINGLE, DURATION, TIMESTAMP, Field, Kind, Schema, part

__all__ = ["messages", "read_message", "schema_of"]

_M = TypeVar("_M", bound=betterproto.Message)

_WELL_KNOWN: dict[type, Schema] = {datetime: TIMESTAMP, timedelta: DURATION}


def read_message(data: bytes, kind: type[_M], bounds: Bounds) -> _M:
    """Return the message in *data*, decoded after it was scanned; raises `InvalidArgument`, and nothing else."""
    return kind().parse(scan(data, schema_of(kind), bounds))


@cache
def schema_of(message: type[betterproto.Message]) -> Schema:
    """Return the schema of a generated message."""
    fields = {field.number: _field(message, name, field) for name, field in _meta(message).meta_by_field_name.items()}
    return Schema(message.__name__, fields)


def _field(message: type[betterproto.Message], name: str, meta: betterproto.FieldMetadata) -> Field:
    is_repeated = _meta(message).default_gen[name] is list
    kind, wire_type = _kind(meta.proto_type)
    if kind is Kind.MESSAGE:
        return part(name, _child(_meta(message).cls_by_field[name]))
    return Field(
        name,
        kind,
        wire_type,
        largest=2**32 - 1 if meta.proto_type == betterproto.TYPE_UINT32 else 2**64 - 1,
        is_packable=is_repeated and meta.proto_type in betterproto.PACKED_TYPES,
        cost=1 if is_repeated else COST_OF_SINGLE,
    )


def _child(child: type) -> Schema:
    return _WELL_KNOWN[child] if child in _WELL_KNOWN else schema_of(child)


def _kind(proto_type: str) -> tuple[Kind, int]:
    if proto_type in betterproto.WIRE_VARINT_TYPES:
        return Kind.VARINT, betterproto.WIRE_VARINT
    if proto_type in betterproto.WIRE_FIXED_64_TYPES:
        return Kind.FIXED64, betterproto.WIRE_FIXED_64
    if proto_type in betterproto.WIRE_FIXED_32_TYPES:
        return Kind.FIXED32, betterproto.WIRE_FIXED_32
    kinds = {betterproto.TYPE_STRING: Kind.TEXT, betterproto.TYPE_BYTES: Kind.BYTES}
    return kinds.get(proto_type, Kind.MESSAGE), betterproto.WIRE_LEN_DELIM


def _meta(message: type[betterproto.Message]) -> betterproto.ProtoClassMetadata:
    # A private name of betterproto, pinned: nothing else knows the numbers and types of fields.
    meta: betterproto.ProtoClassMetadata = getattr(message, "_betterproto")  # noqa: B009 -- its descriptor has no usable type
    return meta
