"""Fields: one description of a setting from which checks, documentation and command-line options are made.

A Struct's attributes are annotated ``Annotated[int, spec("what it is", unit="s", minimum=1)]``; ``fields_of`` reads
them. So a setting is written once, has its type for the type checker, and cannot be forgotten in the reference. Values
come in two ways: typed, from a TOML file (``Field.check``), and as words, from a command line (``Field.parse``).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from provisioning.errors import BadValue, did_you_mean
from provisioning.secret import Secret, SecretKind

SECRET_FORMS = {"": SecretKind.LITERAL, "_file": SecretKind.FILE, "_env": SecretKind.ENV, "_hash": SecretKind.HASH}


class Form(StrEnum):
    """The type of a field, in the words of the reference."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "number"
    BOOLEAN = "true or false"
    TEXTS = "list of text"
    SECRET = "secret"  # noqa: S105 - a type's name


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What an annotation says of a field.

    Attributes:
        help: one sentence or two, without the name.
        unit: of a quantity, ``"s"``, ``"octets"``; empty when it has none.
        minimum, maximum: bounds of a quantity, or of the length of a text.
        choices: the only texts allowed.
        read: turns a text (of a list: each) into its canonical form; raises BadValue.
        is_path: a text that names a file; relative ones are taken from the configuration file's directory.
        key: part of the entry's name: a command takes it as argument, and it never changes.
        hashed: of a secret: a hash may be given in its place.
        live: of a setting of the daemon: a running one keeps to it after a reload.
    """

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read: Callable[[str, str], str] | None = None
    is_path: bool = False
    key: bool = False
    hashed: bool = False
    live: bool = False


def spec(help: str, **settings: Any) -> Spec:
    """Write a ``Spec`` with its sentence first."""
    return Spec(help=help, **settings)


class Field(msgspec.Struct, frozen=True):
    """One setting.

    Attributes:
        name: as in the file; in a section of the daemon ``"smpp.port"``.
        form: its type.
        default: its value when it is not given; ``msgspec.NODEFAULT`` when it must be.
        spec: the rest.
    """

    name: str
    form: Form
    default: Any
    spec: Spec

    @property
    def required(self) -> bool:
        """True when it must be given."""
        return self.default is msgspec.NODEFAULT

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that a file may use for it: one, or the forms of a secret."""
        if self.form is not Form.SECRET:
            return (self.name,)
        return tuple(
            self.name + ending
            for ending, kind in SECRET_FORMS.items()
            if kind is not SecretKind.HASH or self.spec.hashed
        )

    def check(self, value: Any) -> Any:
        """Check a typed value and bring it into its canonical form.

        Raises: BadValue.
        """
        if self.form is Form.TEXTS:
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise BadValue(self.name, value, "must be a list of text, for example ['a', 'b']")
            return tuple(self._check_item(index, item) for index, item in enumerate(value))
        if self.form is Form.TEXT:
            return self._check_text(value)
        if self.form is Form.BOOLEAN:
            if not isinstance(value, bool):
                raise BadValue(self.name, value, "must be true or false")
            return value
        if self.form is Form.SECRET:
            if not isinstance(value, Secret):
                raise BadValue(self.name, "***", "must be a secret")
            return value
        return self._check_quantity(value)

    def parse(self, words: str) -> Any:
        """Read a value from words, as on a command line, and check it; a list is separated by commas.

        Raises: BadValue.
        """
        if self.form is Form.TEXTS:
            return self.check([item.strip() for item in words.split(",") if item.strip()])
        if self.form is Form.BOOLEAN:
            answers = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
            return self.check(answers.get(words.lower(), words))
        if self.form in (Form.INTEGER, Form.DECIMAL):
            try:
                return self.check(int(words) if self.form is Form.INTEGER else float(words))
            except ValueError:
                raise BadValue(self.name, words, f"must be {_a(self.form)}") from None
        return self.check(words)

    def _check_quantity(self, value: Any) -> int | float:
        wanted = int if self.form is Form.INTEGER else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise BadValue(self.name, value, f"must be {_a(self.form)}{_unit(self.spec)}")
        least, most = self.spec.minimum, self.spec.maximum
        # Written so that NaN, which TOML allows, is refused as well.
        if not ((least is None or value >= least) and (most is None or value <= most) and value - value == 0):
            raise BadValue(self.name, value, f"must be {_bounds(self.spec)}{_unit(self.spec)}")
        return value if self.form is Form.INTEGER else float(value)

    def _check_item(self, index: int, item: Any) -> str:
        try:
            return self._check_text(item)
        except BadValue as problem:
            problem.index = index
            raise

    def _check_text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise BadValue(self.name, value, "must be text, in quotation marks")
        choices = self.spec.choices
        if choices and value not in choices:
            why = f"must be one of {', '.join(map(repr, choices))}{did_you_mean(value, choices)}"
            raise BadValue(self.name, value, why)
        least, most = self.spec.minimum, self.spec.maximum
        if (least is not None and len(value) < least) or (most is not None and len(value) > most):
            raise BadValue(self.name, value, f"must be {_bounds(self.spec)} characters long, and is {len(value)}")
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
            raise BadValue(self.name, value, "must have no control characters")
        if any(0xD800 <= ord(character) <= 0xDFFF for character in value):  # words of a shell that are no UTF-8
            raise BadValue(self.name, ascii(value), "must be UTF-8")
        if self.spec.read is not None and value:
            return self.spec.read(value, self.name)
        return value


def _a(form: Form) -> str:
    return f"an {form.value}" if form is Form.INTEGER else f"a {form.value}"


def _unit(spec: Spec) -> str:
    return f" ({spec.unit})" if spec.unit else ""


def plain(value: float) -> str:
    """A quantity as people write it: no exponent, no needless fraction."""
    return str(int(value)) if value == int(value) else repr(value)


def _bounds(spec: Spec) -> str:
    least, most = spec.minimum, spec.maximum
    if least is not None and most is not None:
        return f"{plain(least)} to {plain(most)}"
    return f"{plain(least)} or more" if least is not None else f"at most {plain(most or 0)}"


def _form_of(hint: Any) -> Form:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(argument for argument in get_args(hint) if argument is not type(None))
    if get_origin(hint) is tuple:
        return Form.TEXTS
    return {str: Form.TEXT, int: Form.INTEGER, float: Form.DECIMAL, bool: Form.BOOLEAN, Secret: Form.SECRET}[hint]


@lru_cache(maxsize=64)
def fields_of(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    """Read the fields of a Struct from its annotations; attributes without a ``Spec`` are left out."""
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for attribute in msgspec.structs.fields(struct):
        hint = hints[attribute.name]
        if get_origin(hint) is not Annotated:
            continue
        base, *notes = get_args(hint)
        specs = [note for note in notes if isinstance(note, Spec)]
        if specs:
            found.append(Field(attribute.name, _form_of(base), attribute.default, specs[0]))
    return tuple(found)


def key_names(fields: Sequence[Field]) -> tuple[str, ...]:
    """All keys that a table of these fields may have in a file."""
    return tuple(key for field in fields for key in field.keys)


def secret_from(field: Field, given: Mapping[str, Any]) -> Secret | None:
    """Make a secret of ``x``, ``x_file``, ``x_env`` or ``x_hash``, of which at most one may be given.

    Args:
        field: the secret's field.
        given: what the table has.

    Returns: the secret, or None when none is given.

    Raises: BadValue, never with the secret in it.
    """
    present = [key for key in field.keys if key in given]
    if not present:
        return None
    if len(present) > 1:
        raise BadValue(field.name, "***", f"is given twice, as {' and '.join(present)}: keep one")
    key = present[0]
    value = given[key]
    if not isinstance(value, str) or not value:
        raise BadValue(key, "***", "must be text, in quotation marks, and not empty")
    secret = Secret(SECRET_FORMS[key[len(field.name) :]], value)
    if field.spec.maximum is not None and secret.kind is SecretKind.LITERAL:
        check_secret_length(field, value)
    if secret.kind is SecretKind.HASH and not value.startswith("$argon2"):
        raise BadValue(key, "***", "must be an argon2 hash, as `smshub account password` makes them")
    return secret


def check_secret_length(field: Field, words: str) -> None:
    """Refuse a secret that its protocol cannot carry.

    Raises: BadValue.
    """
    most = field.spec.maximum
    if most is not None and len(words.encode()) > most:
        raise BadValue(field.name, "***", f"must be at most {plain(most)} octets long: {field.spec.help}")


def reference_row(field: Field) -> tuple[str, str, str, str]:
    """Describe a field for the reference: name, type, default with unit, help."""
    kind = " or ".join(f"`{choice!r}`".replace("'", '"') for choice in field.spec.choices) or field.form.value
    if field.spec.choices and field.form is Form.TEXTS:
        kind = f"list of {kind}"
    if field.spec.minimum is not None or field.spec.maximum is not None:
        what = (
            " characters" if field.form in (Form.TEXT, Form.TEXTS) else " octets" if field.form is Form.SECRET else ""
        )
        kind += f", {_bounds(field.spec)}{what}"
    if field.required:
        default = "required"
    elif field.default in ("", (), None, msgspec.UNSET):
        default = "none"
    else:
        shown = list(field.default) if isinstance(field.default, tuple) else field.default
        shown = int(shown) if isinstance(shown, float) and shown.is_integer() else shown
        default = f"`{msgspec.json.encode(shown).decode()}`" + (f" {field.spec.unit}" if field.spec.unit else "")
    if field.required and field.spec.unit:
        kind += f", {field.spec.unit}"
    return " / ".join(f"`{key}`" for key in field.keys), kind, default, field.spec.help
