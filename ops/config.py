"""The configuration file: read, checked as a whole, every error with its line.

A file that cannot be right is refused before anything starts: unknown keys (with the nearest known one), wrong types,
values out of bounds, settings that contradict each other, entries that claim one number twice. What needs the store to
judge (a number of a call centre that another has) is refused by the catalog when the file is applied.

Not pure only in ``load_config``, which reads the file; ``read_config`` works on its text.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import sqlalchemy

from ops.enum_settings import EnumSettings, enum_contradictions
from ops.redis_settings import RedisSettings, redis_contradictions
from ops.settings import (
    SECTIONS,
    TABLES,
    ApiSettings,
    ArchiveSettings,
    ChargingSettings,
    ClusterSettings,
    FiltersSettings,
    LimitsSettings,
    LogSettings,
    MetricsSettings,
    NodeSettings,
    SmppSettings,
    StoreSettings,
    anchored_url,
)
from ops.toml_lines import Path as KeyPath
from ops.toml_lines import line_of, lines_of
from ops.tracing_settings import TracingSettings, tracing_contradictions
from provisioning.claims import Claims
from provisioning.errors import BadValue, Duplicate, ProvisioningError, UnreadableSecret, did_you_mean
from provisioning.fields import Field, Form, check_secret_length, fields_of, key_names, secret_from
from provisioning.model import KINDS, Block, Desk, Entry, Number, build, key_of
from provisioning.secret import Secret, SecretKind

_TOML_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class ConfigError(msgspec.Struct, frozen=True):
    """One error of a file.

    Attributes:
        line: where, from 1; 0 when it is in no line (a ``--set`` option, a file that cannot be read).
        where: the setting, ``"smpp.port"`` or ``"link 'acme': port"``.
        message: what is wrong and what to do.
    """

    line: int
    where: str
    message: str


class ConfigErrors(Exception):
    """A file is refused.

    Attributes:
        path: the file's name, or empty.
        errors: every error, in the order of lines.
    """

    def __init__(self, path: str, errors: Sequence[ConfigError]) -> None:
        ordered = sorted(errors, key=lambda error: error.line)
        super().__init__("\n".join(_told(path, error) for error in ordered))
        self.path = path
        self.errors = tuple(ordered)


def _told(path: str, error: ConfigError) -> str:
    place = f"{path}:{error.line}" if error.line else "" if error.where.startswith("--set") else path
    return ": ".join(words for words in (place, error.where, error.message) if words)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is right in itself.

    Attributes:
        path: the file's name; empty when there is none.
        store, node, cluster, smpp, metrics, api, log, limits, filters, enum, archive, charging,
            tracing, redis: the sections.
        entries: what the provisioning tables hold; accounts with passwords not hashed yet.
        lines: the line of each entry, beside ``entries``.
        overrides: what ``--set`` gave beside the file, which holds when the file is read again.
    """

    path: str = ""
    store: StoreSettings
    node: NodeSettings
    cluster: ClusterSettings
    smpp: SmppSettings
    metrics: MetricsSettings
    api: ApiSettings
    log: LogSettings
    limits: LimitsSettings
    filters: FiltersSettings
    enum: EnumSettings
    charging: ChargingSettings
    archive: ArchiveSettings
    tracing: TracingSettings
    redis: RedisSettings
    entries: tuple[Entry, ...] = ()
    lines: tuple[int, ...] = ()
    overrides: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Show which file it is, and no secret."""
        return f"<Config {self.path!r} of {len(self.entries)} entries>"

    def store_url(self, environ: Mapping[str, str]) -> str:
        """The store's URL with its password in it: for ``open_store``, never for a log.

        Raises: UnreadableSecret.
        """
        if self.store.password is None:
            return self.store.url
        url = sqlalchemy.make_url(self.store.url).set(password=self.store.password.reveal(environ))
        return url.render_as_string(hide_password=False)


def load_config(path: str | Path | None, overrides: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file.

    Args:
        path: the file; None for the defaults alone.
        overrides: settings of the daemon by name (``"smpp.port"``), in words: what ``--set`` gives.

    Raises: ConfigErrors, with every error.
    """
    if path is None:
        return read_config("", "", Path.cwd(), overrides)
    try:
        octets = Path(path).read_bytes()
    except OSError as error:
        why = f"cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigErrors(str(path), [ConfigError(0, "", why)]) from error
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigErrors(str(path), [ConfigError(line, "", "is not UTF-8: save the file in UTF-8")]) from None
    return read_config(text, str(path), Path(path).resolve().parent, overrides)


def read_config(text: str, path: str, directory: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Check the text of a configuration file.

    Args:
        text: the file's content.
        path: its name, for errors.
        directory: what relative file names in it are relative to; absolute.
        overrides: as for ``load_config``.

    Raises: ConfigErrors, with every error.
    """
    try:
        document = tomllib.loads(text)
        lines = lines_of(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors(path, [_syntax_error(error, text)]) from None
    except RecursionError:
        raise ConfigErrors(path, [ConfigError(0, "", "is nested too deep to be a configuration")]) from None
    reader = _Reader(document, lines, directory)
    reader.read(overrides or {})
    if reader.errors:
        raise ConfigErrors(path, reader.errors)
    return Config(
        path=path,
        entries=tuple(reader.entries),
        lines=tuple(reader.entry_lines),
        overrides=tuple((overrides or {}).items()),
        **reader.sections,
    )


def _syntax_error(error: tomllib.TOMLDecodeError, text: str) -> ConfigError:
    # Python 3.11 tells the position only in words. The message quotes at most one character of the file.
    words = str(error)
    match = _TOML_POSITION.search(words)
    if match is None:
        return ConfigError(0, "", f"is no TOML: {words}")
    line = int(match[1]) if match[1] else text.count("\n") + 1
    return ConfigError(line, "", f"is no TOML: {words[: match.start()]}; nothing after it was checked")


class _Reader:
    """Gathers sections, entries and errors of one document."""

    def __init__(self, document: dict[str, Any], lines: dict[KeyPath, int], directory: Path) -> None:
        self._document = document
        self._lines = lines
        self._directory = directory
        self.errors: list[ConfigError] = []
        self.sections: dict[str, Any] = {}
        self.entries: list[Entry] = []
        self.entry_lines: list[int] = []

    def read(self, overrides: Mapping[str, str]) -> None:
        known = [*SECTIONS, *TABLES]
        for key in self._document:
            if key not in known:
                self._fault((key,), key, f"is no section{did_you_mean(key, known)}")
        words = self._overrides(overrides)
        for section, struct in SECTIONS.items():
            self._section(section, struct, words.get(section, {}))
        for table, kind in TABLES.items():
            self._table(table, kind)
        self._check_claims()
        store, cluster = self.sections.get("store"), self.sections.get("cluster")
        if store is not None and cluster is not None and cluster.enabled and store.url.startswith("sqlite"):
            why = "several daemons share a PostgreSQL database; SQLite is for one: set store.url to 'postgresql://…'"
            self._fault(("cluster", "enabled"), "cluster.enabled", why)

    def _fault(self, path: KeyPath, where: str, message: str) -> None:
        self.errors.append(ConfigError(line_of(self._lines, path), where, message))

    def _overrides(self, overrides: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """What ``--set`` gives, by section and key, checked."""
        found: dict[str, dict[str, Any]] = {}
        by_key = {f"{field.name.partition('.')[0]}.{key}": field for field, key in _section_keys()}
        for name, words in overrides.items():
            field = by_key.get(name)
            if field is None:
                self.errors.append(ConfigError(0, f"--set {name}", f"is no setting{did_you_mean(name, by_key)}"))
                continue
            section, _, key = name.partition(".")
            if field.form is Form.SECRET:
                found.setdefault(section, {})[key] = words
                continue
            try:
                found.setdefault(section, {})[key] = field.parse(words)
            except BadValue as problem:
                self.errors.append(ConfigError(0, f"--set {name}", _why(problem)))
        return found

    def _section(self, section: str, struct: type[msgspec.Struct], words: Mapping[str, Any]) -> None:
        given = self._document.get(section, {})
        if not isinstance(given, dict):
            self._fault((section,), section, f"must be a section: write [{section}] and its settings below it")
            return
        fields = fields_of(struct)
        known = key_names(fields)
        for key in given:
            if key not in known:
                self._fault((section, key), f"{section}.{key}", f"is no setting{did_you_mean(key, known)}")
        # A secret on the command line takes the place of any form in the file.
        replaced = {key for field in fields for key in field.keys if any(key in words for key in field.keys)}
        merged = {key: value for key, value in given.items() if key not in replaced} | dict(words)
        values: dict[str, Any] = {}
        for field in fields:
            try:
                value = self._setting(field, merged)
            except BadValue as problem:
                path: KeyPath = next(((section, key) for key in field.keys if key in given), (section,))
                self._fault((*path, *_index(problem)), f"{section}.{problem.field}", _why(problem))
                continue
            if value is not msgspec.UNSET:
                values[field.name] = value
        checked = cast(Any, struct)(**values)
        self.sections[section] = self._anchored(checked)
        for name, why in _contradictions(checked):
            self._fault((section, name), f"{section}.{name}", why)

    def _setting(self, field: Field, given: Mapping[str, Any]) -> Any:
        if field.form is Form.SECRET:
            secret = secret_from(field, given)
            return msgspec.UNSET if secret is None else self._anchored_secret(secret)
        if field.name not in given:
            return msgspec.UNSET
        value = field.check(given[field.name])
        if value == "" and field.default:
            raise BadValue(field.name, value, "must not be empty: leave the setting out for its default")
        return value

    def _table(self, table: str, kind: str) -> None:
        given = self._document.get(table, [])
        if isinstance(given, dict) or not (isinstance(given, list) and all(isinstance(item, dict) for item in given)):
            self._fault((table,), table, f"must be a list of tables: write [[{table}]] before each")
            return
        seen: set[str] = set()
        for index, item in enumerate(given):
            entry, problems = build(KINDS[kind], item)  # type: ignore[type-var]
            name = _name_of(KINDS[kind], item, index)
            for problem in problems:
                key = problem.field if problem.field in item else _secret_key(problem.field, item)
                self._fault((table, index, key, *_index(problem)), f"{kind} {name}: {problem.field}", _why(problem))
            if entry is None:
                continue
            if entry.key in seen:
                self._fault((table, index), f"{kind} {name}", "is given twice: keep one")
                continue
            seen.add(entry.key)
            self.entries.append(self._anchored(entry))
            self.entry_lines.append(line_of(self._lines, (table, index)))

    def _check_claims(self) -> None:
        """Refuse entries that exclude each other whatever the store holds."""
        claims = Claims()
        domains: dict[str, str] = {}
        for entry, line in zip(self.entries, self.entry_lines, strict=True):
            try:
                if isinstance(entry, (Number, Block)):
                    claims.check(entry)
                    claims.add(entry)
                if isinstance(entry, Desk) and domains.setdefault(entry.domain, entry.name) != entry.name:
                    why = f"is desk {domains[entry.domain]!r}'s already; use one domain each"
                    raise BadValue("domain", entry.domain, why)
            except ProvisioningError as problem:
                self.errors.append(ConfigError(line, f"{entry.KIND} {entry.key!r}", str(problem)))

    def _anchored(self, struct: Any) -> Any:
        """Make relative file names absolute."""
        changed: dict[str, Any] = {}
        kind: type[msgspec.Struct] = type(struct)
        for field in fields_of(kind):
            value = getattr(struct, field.name)
            if field.spec.is_path and value:
                changed[field.name] = str(self._directory / value)
            elif isinstance(value, Secret):
                changed[field.name] = self._anchored_secret(value)
        if isinstance(struct, StoreSettings):
            changed["url"] = anchored_url(struct.url, self._directory)
        return msgspec.structs.replace(struct, **changed) if changed else struct

    def _anchored_secret(self, secret: Secret) -> Secret:
        if secret.kind is not SecretKind.FILE:
            return secret
        return Secret(SecretKind.FILE, str(self._directory / secret.value))


def _section_keys() -> Iterator[tuple[Field, str]]:
    for section, struct in SECTIONS.items():
        for field in fields_of(struct):
            for key in field.keys:
                yield msgspec.structs.replace(field, name=f"{section}.{field.name}"), key


def _why(problem: BadValue) -> str:
    if problem.value is None or problem.value == "***":
        return problem.why
    return f"{problem.value!r}: {problem.why}"


def _index(problem: BadValue) -> KeyPath:
    return () if problem.index is None else (problem.index,)


def _secret_key(field: str, item: Mapping[str, Any]) -> str:
    return next((key for key in item if key.startswith(f"{field}_")), field)


def _name_of(kind: type[Entry], item: Mapping[str, Any], index: int) -> str:
    keys = [field.name for field in fields_of(kind) if field.spec.key]
    names = [item[key] for key in keys if isinstance(item.get(key), str)]
    return repr(key_of(kind, names)) if len(names) == len(keys) else f"number {index + 1}"


def _contradictions(section: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """What settings of one section say against each other: the setting, and what to do."""
    if isinstance(section, SmppSettings):
        if section.tls_port and not section.tls_cert_file:
            yield "tls_cert_file", "is missing: TLS needs a certificate"
        if bool(section.tls_cert_file) != bool(section.tls_key_file):
            missing = "tls_key_file" if section.tls_cert_file else "tls_cert_file"
            yield missing, "is missing: a certificate and its key come together"
        if section.tls_cert_file and not section.tls_port:
            yield "tls_port", "is missing: a certificate alone opens no port"
        if section.tls_port and section.tls_port == section.port:
            yield "tls_port", f"{section.tls_port}: is the port without TLS too; give each its own, or port = 0"
        if section.proxy_protocol == "required" and not section.proxy_networks:
            yield "proxy_networks", "is missing: say where the balancers connect from, or anybody could be anybody"
        if section.proxy_networks and section.proxy_protocol == "off":
            yield "proxy_protocol", "is off: with proxy_networks it has to be 'required'"
    if isinstance(section, EnumSettings):
        yield from enum_contradictions(section)
    if isinstance(section, TracingSettings):
        yield from tracing_contradictions(section)
    if isinstance(section, RedisSettings):
        yield from redis_contradictions(section)
    if isinstance(section, ApiSettings):
        yield from _api_contradictions(section)
    if isinstance(section, LimitsSettings) and section.retry_longest_s < section.retry_first_s:
        yield "retry_longest_s", f"{section.retry_longest_s:g}: must not be below retry_first_s"
    if isinstance(section, StoreSettings) and section.password is not None:
        if not section.url.startswith("postgresql"):
            yield "password", "means nothing to SQLite: leave it out"
        elif sqlalchemy.make_url(section.url).password is not None:
            yield "password", "is given in the URL as well: keep one"


def _api_contradictions(api: ApiSettings) -> Iterator[tuple[str, str]]:
    if bool(api.tls_cert_file) != bool(api.tls_key_file):
        missing = "tls_key_file" if api.tls_cert_file else "tls_cert_file"
        yield missing, "is missing: a certificate and its key come together"
    if api.port and not (api.tls_cert_file or api.plain or _is_loopback(api.host)):
        why = f"is missing: without TLS, keys would travel to {api.host} in clear; plain = true allows it"
        yield "tls_cert_file", why


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def file_problems(config: Config, environ: Mapping[str, str]) -> list[ConfigError]:
    """What ``smshub check`` looks at beyond the file itself: whether files and variables that it names can be read.

    Args:
        config: what was loaded.
        environ: the environment to look variables up in.
    """
    named: list[tuple[int, str, msgspec.Struct]] = [(0, section, getattr(config, section)) for section in SECTIONS]
    named += [
        (line, f"{entry.KIND} {entry.key!r}:", entry) for entry, line in zip(config.entries, config.lines, strict=True)
    ]
    problems = []
    for line, name, struct in named:
        for field in fields_of(type(struct)):
            value = getattr(struct, field.name)
            separator = " " if name.endswith(":") else "."
            where = f"{name}{separator}{field.name}"
            if field.spec.is_path and value and not os.access(value, os.R_OK):
                problems.append(ConfigError(line, where, f"{value!r}: there is no such file, or it cannot be read"))
            elif isinstance(value, Secret) and value.kind is not SecretKind.HASH:
                try:
                    check_secret_length(field, value.reveal(environ))
                except (UnreadableSecret, BadValue) as error:
                    problems.append(ConfigError(line, where, str(error)))
    return problems


def refused(config: Config, refusals: Sequence[tuple[int, ProvisioningError]]) -> ConfigErrors:
    """Tell the catalog's refusals of a file's entries with their lines.

    Args:
        config: the file.
        refusals: index in ``config.entries`` and error, as in ``Refused.refusals``.
    """
    errors = []
    for index, error in refusals:
        entry = config.entries[index]
        where = "" if isinstance(error, Duplicate) else f"{entry.KIND} {entry.key!r}"
        errors.append(ConfigError(config.lines[index], where, str(error)))
    return ConfigErrors(config.path, errors)
