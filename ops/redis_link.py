"""The link to Redis: a few connections, used from threads, and one way to find that it is away.

PostgreSQL is the truth. What is in Redis makes things quicker, or is a copy: it may be empty, slow or away at any time.
So no call waits for long, none is repeated in here, and none is made while the last ones found nobody: after a failure
the link rests (a quarter of a second, doubling up to five), and who calls meanwhile is told so at once. An outage is
two lines in the log, its begin and its end, whatever was called in between, and a metric.

The client is redis-py, whose plain side blocks: it runs in threads of trio. A thread that is left alone by a
cancellation ends by its own time limit.
"""

from __future__ import annotations

import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

import redis
import structlog
import trio
from prometheus_client.core import Metric
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from ops.metric_families import family
from ops.redis_settings import RedisAddress, RedisSettings, address_of
from ops.redis_trouble import REASONS, RedisAway, RedisRefused, RedisTrouble

CONNECT_S: Final = 2.0
ANSWER_S: Final = 2.0  # the longest script takes some milliseconds of Redis
THREADS: Final = 6  # one for each of what uses the link, and some for binds
SUBSCRIBERS: Final = 2
FIRST_REST_S: Final = 0.25
LONGEST_REST_S: Final = 5.0
HEAR_S: Final = 0.5  # a thread that listens looks that often whether it is still wanted
QUIET_S: Final = 5.0  # after which a subscription is asked whether it lives; twice that, and it does not

T = TypeVar("T")

log = structlog.get_logger("ops.redis")


def trouble_of(error: Exception) -> RedisTrouble:
    """What an error of the client's, or of the system's, means."""
    words = str(error)
    # A server that wants a password says NOAUTH to the first command; some releases of the client have no type for it.
    if isinstance(error, AuthenticationError) or words.startswith(("NOAUTH", "WRONGPASS", "invalid username-password")):
        return RedisAway("credentials")
    if isinstance(error, BusyLoadingError) or words.startswith("LOADING"):
        return RedisAway("loading")
    if isinstance(error, (RedisTimeoutError, TimeoutError)):
        return RedisAway("timeout")
    if isinstance(error, ReadOnlyError) or words.startswith(("READONLY", "MASTERDOWN")):
        return RedisAway("read-only")
    if isinstance(error, OutOfMemoryError) or "OOM" in words:
        return RedisRefused("full")
    if isinstance(error, NoPermissionError) or words.startswith("NOPERM"):
        return RedisRefused("not-allowed")
    if isinstance(error, (RedisConnectionError, OSError)):
        return RedisAway("away")
    if isinstance(error, ResponseError):
        return RedisRefused("refused")
    return RedisAway("away")


Connect = Callable[[], "redis.Redis"]


class RedisLink:
    """See the module's head. Belongs to one trio run.

    Args:
        connect: makes the client; opens no connection yet.
        where: what the log calls the server.

    Attributes:
        is_up: whether Redis answered the last time that it was asked.
    """

    def __init__(self, connect: Connect, where: str) -> None:
        self._client = connect()
        self._where = where
        self._threads = trio.CapacityLimiter(THREADS)
        self._ears = trio.CapacityLimiter(SUBSCRIBERS)
        self._chance = random.SystemRandom()
        self._rest_s = 0.0
        self._rests_until = -float("inf")  # by trio's clock
        self._reason = "away"
        self._has_said_away = False
        self.is_up = False
        self.failures: Counter[str] = Counter()

    def rest_s(self) -> float:
        """How long the link still rests, 0 when it may be used."""
        return max(0.0, self._rests_until - trio.current_time())

    async def rest(self) -> None:
        """Wait until the link may be used."""
        await trio.sleep(self.rest_s())

    async def call(self, work: Callable[[redis.Redis], T]) -> T:
        """Let a thread ask Redis.

        Args:
            work: gets the client; made to be run once, for it may have had its effect when it fails.

        Raises: RedisAway, RedisRefused.
        Cancellation: leaves the thread to its time limit; the work may still have its effect.
        """
        if self.rest_s() > 0:
            await trio.lowlevel.checkpoint()
            raise RedisAway(self._reason)
        try:
            done = await trio.to_thread.run_sync(work, self._client, limiter=self._threads, abandon_on_cancel=True)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        self._answered()
        return done

    async def hear(self, channel: str, subscribed: Callable[[], None], heard: Callable[[bytes], None]) -> None:
        """Listen to a channel until the subscription falls.

        Args:
            channel: its name.
            subscribed: called in trio's thread once the subscription stands.
            heard: called with each message, in a thread; must not wait.

        Raises: RedisAway, RedisRefused: always, in the end.
        Cancellation: ends it; its thread goes within ``HEAR_S``.
        """
        await self.rest()
        is_wanted = [True]
        token = trio.lowlevel.current_trio_token()

        def stands() -> None:
            if is_wanted[0]:
                self._answered()
                subscribed()

        def announce() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(stands)

        def listen() -> None:
            _listen(self._client, channel, lambda: is_wanted[0], announce, heard)

        try:
            await trio.to_thread.run_sync(listen, limiter=self._ears, abandon_on_cancel=True)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        finally:
            is_wanted[0] = False

    def close(self) -> None:
        """Close the connections; a link that is used again opens new ones. Blocks shortly."""
        with suppress(RedisError, OSError):
            self._client.close()
            self._client.connection_pool.disconnect()

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        yield family("smshub_redis_up", float(self.is_up))
        yield family("smshub_redis_failures_total", {(reason,): self.failures[reason] for reason in REASONS})

    def _answered(self) -> None:
        self._rest_s = 0.0
        if not self.is_up:
            self.is_up = True
            log.info("redis answers", where=self._where)
        self._has_said_away = False

    def _failed(self, error: Exception) -> RedisTrouble:
        trouble = trouble_of(error)
        self.failures[trouble.reason] += 1
        if isinstance(trouble, RedisRefused):  # it is there
            self._answered()
            return trouble
        # Several that were under way fail at once: that is one failure.
        if self.rest_s() == 0:
            self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s or FIRST_REST_S)
            self._rests_until = trio.current_time() + self._rest_s * self._chance.uniform(0.5, 1.0)
        self._reason = trouble.reason
        self.is_up = False
        if not self._has_said_away:
            self._has_said_away = True
            log.warning(
                "redis does not answer: nodes go on without it, and come back to it by themselves",
                where=self._where,
                reason=trouble.reason,
                error=type(error).__name__,
            )
        return trouble


def _listen(
    client: redis.Redis,
    channel: str,
    is_wanted: Callable[[], bool],
    subscribed: Callable[[], None],
    heard: Callable[[bytes], None],
) -> None:
    """Hear a channel, in a thread, until nobody wants it or the connection is dead."""
    pubsub = cast(Any, client).pubsub()
    try:
        pubsub.subscribe(channel)
        last = time.monotonic()
        has_asked = False
        while is_wanted():
            message = pubsub.get_message(timeout=HEAR_S)
            now = time.monotonic()
            if message is not None:
                last, has_asked = now, False
                if message["type"] == "subscribe":
                    subscribed()
                elif message["type"] == "message":
                    heard(message["data"])
            elif now - last > 2 * QUIET_S:
                raise RedisTimeoutError("a subscription that says nothing any more")
            elif now - last > QUIET_S and not has_asked:
                has_asked = True
                pubsub.ping()
    finally:
        # On any error as well: what is left of the connection must not go back among those that are used.
        with suppress(RedisError, OSError):
            pubsub.close()


# --- from settings ---------------------------------------------------------------------------------------------------


def open_link(settings: RedisSettings, environ: Mapping[str, str]) -> RedisLink:
    """The link that the settings ask for. Connects to nothing yet.

    Args:
        settings: checked, with a URL.
        environ: to look secrets up in.

    Raises: UnreadableSecret; OSError, ssl.SSLError: a certificate cannot be read.
    """
    address = address_of(settings.url)
    if address.tls:
        _check_certificates(settings)
    return RedisLink(lambda: _client(settings, address, environ), settings.url)


def _check_certificates(settings: RedisSettings) -> None:
    """Read what would else be read at the first connection, when nobody looks."""
    context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    if settings.tls_cert_file:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)


def _client(settings: RedisSettings, address: RedisAddress, environ: Mapping[str, str]) -> redis.Redis:
    """The client. It repeats nothing by itself: the link knows when there is a point in it."""
    password = settings.password.reveal(environ) if settings.password is not None else None
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": password,
        **_connection_options(settings, address),
    }
    if address.service:
        sentinel_options = _connection_options(settings, address)
        if settings.sentinel_password is not None:
            sentinel_options["password"] = settings.sentinel_password.reveal(environ)
        sentinels = cast(Any, Sentinel)(list(address.hosts), sentinel_kwargs=sentinel_options, **options)
        return cast(redis.Redis, sentinels.master_for(address.service))
    if address.path:
        return redis.Redis(unix_socket_path=address.path, **options)
    host, port = address.hosts[0]
    return redis.Redis(host=host, port=port, **options)


def _connection_options(settings: RedisSettings, address: RedisAddress) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": ANSWER_S,
        "socket_connect_timeout": CONNECT_S,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,  # else each connection begins with commands that an ACL has to allow and that do nothing
        "protocol": 2,  # RESP2: what every server since 2.0 speaks, and what subscriptions are simple in
    }
    if address.tls:
        options |= {
            "ssl": True,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_ca_certs": settings.tls_ca_file or None,
            "ssl_certfile": settings.tls_cert_file or None,
            "ssl_keyfile": settings.tls_key_file or None,
        }
    return options
