"""Takes the texts out of a request, or says what is wrong with it.

A request of the wrong type is answered with 415, one that is too large with 413, one
that comes too slowly with 408, and every other that is refused with 400.
"""

import asyncio
import dataclasses
import json

from starlette.exceptions import HTTPException

EXPECTED = 'an object {"texts": [strings]} is expected'
KINDS = {dict: "an object", list: "a list", str: "a string", float: "a number"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may hold."""

    max_texts: int = 64
    max_characters: int = 10_000
    max_body_bytes: int = 2**20


async def read(request, limits, timeout):
    """Returns the texts of a request, each in UTF-8.

    Args:
        request: A Starlette request.
        limits: A `Limits`.
        timeout: Seconds in which the whole body must have come.
    """
    check_content_encoding(request.headers)
    check_content_type(request.headers)
    try:
        async with asyncio.timeout(timeout):
            body = await read_body(request, limits.max_body_bytes)
    except TimeoutError:
        message = f"the body did not come within {timeout:g} seconds"
        raise HTTPException(408, message) from None
    return texts_in(parse(body), limits)


def check_content_encoding(headers):
    """Refuses a compressed body."""
    encoding = ", ".join(headers.getlist("content-encoding")) or "identity"
    if encoding.strip().lower() != "identity":
        message = f"Content-Encoding is {shown(encoding)}, none is expected"
        raise HTTPException(415, message, {"Accept-Encoding": "identity"})


def check_content_type(headers):
    """Refuses what does not say that it is JSON, or says that it is not in UTF-8."""
    values = headers.getlist("content-type")
    if len(values) != 1:
        came = f"came {len(values)} times" if values else "is missing"
        raise HTTPException(415, f"Content-Type {came}, application/json is expected")
    media_type, *parameters = values[0].split(";")
    if media_type.strip().lower() != "application/json":
        message = f"Content-Type is {shown(media_type)}, application/json is expected"
        raise HTTPException(415, message)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "charset" and value.lower() != "utf-8":
            raise HTTPException(415, f"charset is {shown(value)}, utf-8 is expected")


async def read_body(request, limit):
    """Returns the body, and stops reading one that is larger than the limit."""
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) > limit:
        message = f"the body has {declared} bytes, at most {limit} are allowed"
        raise HTTPException(413, message)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            message = f"the body has more bytes than the {limit} that are allowed"
            raise HTTPException(413, message)
    return bytes(body)


def parse(body):
    """Returns the value that a body of JSON stands for."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"0x{body[error.start]:02x} at position {error.start}"
        raise bad(f"the body is not UTF-8: byte {byte}, {error.reason}") from None
    if text.startswith("\ufeff"):
        raise bad("the body begins with a byte order mark, JSON has none")
    try:
        return json.loads(
            text,
            object_pairs_hook=unique_keys,
            parse_constant=no_constant,
            parse_int=float,  # integers of any length, no number is expected
        )
    except RecursionError:
        raise bad(f"the JSON is nested too deeply: {EXPECTED}") from None
    except json.JSONDecodeError as error:
        raise bad(f"the body is not JSON: {error}") from None


def unique_keys(pairs):
    """The object of these pairs; refuses a key that comes twice."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise bad(f"the key {shown(key)} comes twice in an object")
        found[key] = value
    return found


def no_constant(name):
    """Refuses NaN and infinities."""
    raise bad(f"the body is not JSON: it has no {name}")


def texts_in(value, limits):
    """Returns the texts of what was parsed, each in UTF-8."""
    if not isinstance(value, dict):
        raise bad(f"the body is {kind(value)}, {EXPECTED}")
    for key in value:
        if key != "texts":
            raise bad(f"unknown key {shown(key)}, {EXPECTED}")
    if "texts" not in value:
        raise bad(f"the key 'texts' is missing, {EXPECTED}")
    texts = value["texts"]
    allowed = f"1 to {limits.max_texts} strings are"
    if not isinstance(texts, list):
        raise bad(f"texts is {kind(texts)}, a list of {allowed} expected")
    if not texts:
        raise bad(f"texts is empty, {allowed} expected")
    if len(texts) > limits.max_texts:
        raise bad(f"texts has {len(texts)} entries, {allowed} allowed")
    return [
        checked(f"texts[{index}]", text, limits.max_characters)
        for index, text in enumerate(texts)
    ]


def checked(name, text, max_characters):
    """Returns one text in UTF-8; it may be empty."""
    if not isinstance(text, str):
        raise bad(f"{name} is {kind(text)}, a string is expected")
    if len(text) > max_characters:
        long = f"{len(text)} characters long, at most {max_characters} are allowed"
        raise bad(f"{name} is {long}")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X} at position {error.start}"
        raise bad(f"{name} has half of a surrogate pair, {half}") from None


def bad(message):
    """The error for a body that is not what it should be."""
    return HTTPException(400, message)


def kind(value):
    """What a parsed value is called."""
    names = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    return KINDS[type(value)]


def shown(text, length=40):
    """A text of the client for an error message: ASCII, and not long."""
    short = text if len(text) <= length else text[:length] + "..."
    return ascii(short)
