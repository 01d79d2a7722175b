"""Keeps this proxy registered with control and its snapshot up to date.

Versions only grow while a registration lasts, and a lower one is refused. Control decides what is in force, though: a
control that lost its database begins again at a low version, and it shows by no longer knowing this proxy (404). So the
first snapshot after each registration is taken whatever its version, with a warning when it is lower. The snapshot from
the disk cache only bridges the time until then, and has no trial.

What is on trial is obeyed only as long as control confirms the snapshot (``trial_watch``): by handing it out, or by
saying that it is unchanged. A heartbeat that is answered does not do: it says nothing about the snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import orjson
import structlog

from meshwise.contracts.errors import DocumentError, MeshwiseError, UnavailableError
from meshwise.contracts.identity import REGISTRATION_HEADER
from meshwise.contracts.snapshot import Snapshot, parse_snapshot
from meshwise.proxy.net.http_client import Answer, HttpClient
from meshwise.proxy.net.sse import EventParser
from meshwise.proxy.snapshot_cache import SnapshotCache
from meshwise.proxy.trial_watch import TrialWatch

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 10.0
"""Pause between attempts to reach control: doubles from the first to the longest, with jitter."""
STREAM_IDLE_S: Final = 40.0
"""Silence after which the stream counts as broken; control sends a comment every 15 s."""
MAX_SNAPSHOT_BYTES: Final = 32 * 1024 * 1024
"""Largest snapshot taken: contracts.snapshot.MAX_ENTRIES endpoints and policies fit."""
GOODBYE_S: Final = 1.0
"""Time given to control to hear that this proxy leaves."""
_JSON: Final = {"content-type": "application/json"}

log = structlog.get_logger(__name__)


class RegistrationLostError(MeshwiseError):
    """Control does not know this proxy (any more)."""


class ControlClient:
    """Registers, beats, follows snapshots and acknowledges them; control being away never affects traffic.

    ``registration`` is the body of ``POST /v1/proxies``. ``on_snapshot`` applies a snapshot, or raises
    ``DocumentError``: the old one stays and control is told ``rejected``. ``policies_in_force`` gives name → version.
    """

    def __init__(
        self,
        control_url: str,
        registration: Mapping[str, Any],
        on_snapshot: Callable[[Snapshot], None],
        policies_in_force: Callable[[], Mapping[str, int]],
        cache: SnapshotCache | None = None,
        *,
        token: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        first_wait_s: float = FIRST_WAIT_S,
        timeout_s: float = 5.0,
    ) -> None:
        self._client = HttpClient(control_url, token=token, tls=tls)
        self._registration = dict(registration)
        self._path = f"/v1/proxies/{quote(str(registration['id']), safe='')}"
        self._on_snapshot = on_snapshot
        self._policies_in_force = policies_in_force
        self._cache = cache
        self._first_wait_s = first_wait_s
        self._timeout_s = timeout_s
        self._heartbeat_s = 2.0
        self._snapshot: Snapshot | None = None
        """What control said last that could be applied; of its trial ``_trial`` knows whether it is obeyed."""
        self._trial = TrialWatch()
        self._timer: asyncio.TimerHandle | None = None
        self._fetching = asyncio.Lock()
        self._etag = ""
        self._refused = False
        """The document that ``_etag`` names was refused."""
        self._secret = ""
        self._any_version = True
        self._owed: dict[str, Any] | None = None
        self._reachable = False
        self._registered = False
        self._task: asyncio.Task[None] | None = None
        self.last_error = ""
        """Why control could not be followed last time; empty while it can."""
        self.rejected = 0
        """Snapshots refused since start."""
        self.trials_ended = 0
        """Trials given up since start because control was silent for too long."""

    @property
    def snapshot_version(self) -> int:
        """Version of the snapshot in force; 0 when there is none."""
        return self._snapshot.version if self._snapshot else 0

    @property
    def connected(self) -> bool:
        """Tell whether control knows this proxy and answered last time."""
        return self._registered and self._reachable

    def stats(self) -> Mapping[str, Any]:
        """Return how control is followed, as the administration page shows it."""
        return {
            "connected": self.connected,
            "snapshot_version": self.snapshot_version,
            "rejected": self.rejected,
            "on_trial": self._trial.on_trial,
            "trials_ended": self.trials_ended,
        }

    async def start(self) -> None:
        """Apply the cached snapshot, if any, then register and follow in the background; never waits for control."""
        if self._task is not None:
            return
        if self._cache is not None:
            cached = await asyncio.to_thread(self._cache.load)
            if cached is not None and not (problem := self._apply(cached)):
                self._snapshot = cached
                log.info("cached snapshot in force", version=cached.version)
            elif cached is not None:
                log.warning("cached snapshot refused", problem=problem)
        self._task = asyncio.create_task(self._run())

    async def stop(self, *, leave: bool = True) -> None:
        """Stop following; ``leave`` takes this proxy out of the mesh (a short DELETE)."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._timer is not None:
            self._timer.cancel()
        registered, self._registered = self._registered, False
        if registered and leave:
            with contextlib.suppress(UnavailableError):
                await self._client.request("DELETE", self._path, headers=self._proof(), timeout_s=GOODBYE_S)
        await self._client.close()

    async def _run(self) -> None:
        while True:
            await self._register()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._beat())
                    group.create_task(self._follow())
            except* RegistrationLostError:
                log.warning("control no longer knows this proxy; registering again")
            except* Exception:
                # A defect here must cost neither the traffic nor the following of later snapshots.
                log.exception("following control failed; registering again")
                await asyncio.sleep(self._first_wait_s)
            self._registered = False

    async def _register(self) -> None:
        waits = _Waits(self._first_wait_s)
        while True:
            try:
                answer = await self._call("POST", "/v1/proxies", self._registration)
                granted = orjson.loads(answer.body) if answer.status == 200 else None
                if isinstance(granted, dict):
                    self._heartbeat_s = _seconds(granted.get("heartbeat_s"), 2.0)
                    self._secret = str(granted.get("secret") or "")
                    break
                self._failed(f"control answered the registration with {answer.status}: {_excerpt(answer)}")
            except (UnavailableError, orjson.JSONDecodeError) as error:
                self._failed(str(error))
            await asyncio.sleep(waits.next())
        self._registered = True
        self._any_version = True
        # Whatever control knew of us may be gone: fetch, and so acknowledge, in any case.
        self._etag = ""
        log.info("registered with control", id=self._registration["id"], heartbeat_s=self._heartbeat_s)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s * random.uniform(0.9, 1.0))  # noqa: S311 - jitter, not a secret
            body = {"snapshot_version": self.snapshot_version, "policies": dict(self._policies_in_force())}
            try:
                answer = await self._call("POST", f"{self._path}/heartbeat", body)
                _check_known(answer)
                if answer.status != 200:
                    self._failed(f"control answered a heartbeat with {answer.status}: {_excerpt(answer)}")
                await self._pay_ack()
                if self._trial.wants_word(monotonic()):
                    await self._fetch()
            except UnavailableError as error:
                self._failed(str(error))

    async def _follow(self) -> None:
        """Fetch, then follow the stream; when it breaks, each pause ends with another fetch, which is polling."""
        waits = _Waits(self._first_wait_s)
        while True:
            try:
                await self._fetch()
                await self._stream(waits)
            except UnavailableError as error:
                self._failed(str(error))
            await asyncio.sleep(waits.next())

    async def _stream(self, waits: _Waits) -> None:
        stream = await self._client.open(
            f"{self._path}/events", {"accept": "text/event-stream"}, head_timeout_s=self._timeout_s
        )
        try:
            _check_known(stream.answer)
            if stream.answer.status != 200:
                raise UnavailableError(f"control answered the event stream with {stream.answer.status}")
            parser = EventParser()
            while piece := await stream.piece(STREAM_IDLE_S):
                # Several changes may have come together: one fetch gets the newest.
                if any(event.name == "snapshot" for event in parser.feed(piece)):
                    await self._fetch()
                waits.reset()
        except ValueError as error:
            raise UnavailableError(f"the event stream makes no sense: {error}") from None
        finally:
            stream.close()
        raise UnavailableError("control ended the event stream")

    async def _fetch(self) -> None:
        """Get the snapshot in force and apply it if it is new; tell control either way.

        Raises:
            UnavailableError: control did not answer with a snapshot.
            RegistrationLostError: control does not know this proxy.
        """
        async with self._fetching:  # of two answers under way the older one might come last, and be refused
            await self._fetch_alone()
        await self._pay_ack()

    async def _fetch_alone(self) -> None:
        headers = {"if-none-match": self._etag} if self._etag else {}
        asked_at = monotonic()  # what it says held then; it may have been long on its way
        answer = await self._client.request(
            "GET", f"{self._path}/snapshot", headers=headers, timeout_s=self._timeout_s, max_bytes=MAX_SNAPSHOT_BYTES
        )
        _check_known(answer)
        if answer.status not in {200, 304}:
            raise UnavailableError(f"control answered the snapshot with {answer.status}: {_excerpt(answer)}")
        self._reached()
        if answer.status == 200:
            await self._take(answer, asked_at)
        elif not self._refused:
            self._confirm(asked_at)

    async def _take(self, answer: Answer, asked_at: float) -> None:
        etag = answer.headers.get("etag", "")
        version = _version_of(etag)
        problem = ""
        try:
            snapshot = parse_snapshot(orjson.loads(answer.body))
            version = snapshot.version
            self._check(snapshot)
            if snapshot == self._snapshot:
                self._confirm(asked_at)
            elif not (problem := self._apply(snapshot)):
                self._snapshot = snapshot
                self._trial.begin(snapshot.trial, asked_at)
                self._watch_trial()
                log.info("snapshot in force", version=version)
                if self._cache is not None:
                    await asyncio.to_thread(self._cache.store, snapshot)
            self._any_version = self._any_version and bool(problem)
        except (orjson.JSONDecodeError, DocumentError) as error:
            problem = str(error)
        if problem:
            self.rejected += 1
            log.warning("snapshot rejected", version=version, in_force=self.snapshot_version, problem=problem)
        # Remembered when rejected too: the same document would only be rejected again.
        self._etag = etag
        self._refused = bool(problem)
        self._owed = {"version": version, "status": "rejected" if problem else "applied", "reason": problem[:1000]}

    def _check(self, snapshot: Snapshot) -> None:
        """Refuse what is not meant for this proxy or older than what it has."""
        if snapshot.service != self._registration.get("service", snapshot.service):
            raise DocumentError("service", f"is {snapshot.service!r}, this proxy serves another")
        if snapshot.version < self.snapshot_version:
            if not self._any_version:
                raise DocumentError("version", f"{snapshot.version} is older than {self.snapshot_version} in force")
            log.warning("control begins again at a lower version", version=snapshot.version, had=self.snapshot_version)

    def _confirm(self, now: float) -> None:
        """Control says that the snapshot still holds: go on with its trial, or take it up again."""
        snapshot, ended = self._snapshot, self._trial.ended
        if snapshot is None or (ended and self._apply(snapshot)):
            return
        self._trial.confirm(now)
        if ended:
            log.info("control confirms the trial: obeyed again", version=snapshot.version)
            self._watch_trial()

    def _watch_trial(self) -> None:
        """End the trial once control was silent for its patience; until then look again when that may be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        snapshot, left_s = self._snapshot, self._trial.left_s(monotonic())
        if snapshot is None or snapshot.trial is None or left_s is None:
            return
        if left_s == 0.0:
            if not self._apply(snapshot.settled()):
                self._trial.end()
                self.trials_ended += 1
                log.warning(
                    "trial ended: control has not confirmed it; back to the policies in force",
                    policies=list(snapshot.trial.names),
                    version=snapshot.version,
                    patience_s=snapshot.trial.patience_s,
                )
                return
            left_s = self._first_wait_s
        self._timer = asyncio.get_running_loop().call_later(left_s, self._watch_trial)

    def _apply(self, snapshot: Snapshot) -> str:
        """Put ``snapshot`` in force; return what is wrong with it, or nothing."""
        try:
            self._on_snapshot(snapshot)
        except DocumentError as error:
            return str(error)
        except Exception as error:
            # A defect met while applying is a reason to keep the old snapshot, not to stop following.
            log.exception("snapshot not applied", version=snapshot.version)
            return f"internal error: {type(error).__name__}"
        return ""

    async def _pay_ack(self) -> None:
        """Send the acknowledgement that is due; it stays due until control took it."""
        # Taken first: heartbeats and fetches both come here, and one acknowledgement is enough.
        owed, self._owed = self._owed, None
        if owed is None:
            return
        delivered = False
        try:
            answer = await self._call("POST", f"{self._path}/acks", owed)
            _check_known(answer)
            if answer.status >= 500 or answer.status == 429:
                raise UnavailableError(f"control answered an acknowledgement with {answer.status}")
            delivered = True
        finally:
            if not delivered and self._owed is None:
                self._owed = owed
        if answer.status >= 400:
            log.warning("acknowledgement refused", status=answer.status, answer=_excerpt(answer))

    async def _call(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        headers = _JSON | self._proof()
        answer = await self._client.request(method, path, orjson.dumps(body), headers, timeout_s=self._timeout_s)
        if answer.status < 500:
            self._reached()
        return answer

    def _proof(self) -> dict[str, str]:
        """Return the header that shows control who speaks."""
        return {REGISTRATION_HEADER: self._secret} if self._secret else {}

    def _reached(self) -> None:
        if not self._reachable and self.last_error:
            log.info("control answers again")
        self._reachable = True
        self.last_error = ""

    def _failed(self, problem: str) -> None:
        if self._reachable or not self.last_error:
            log.warning("control not followed; the snapshot in force stays", problem=problem)
        self._reachable = False
        self.last_error = problem


class _Waits:
    """Growing, jittered pauses in seconds."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._next_s = first_s

    def next(self) -> float:
        """Return the next pause."""
        wait = self._next_s
        self._next_s = min(LONGEST_WAIT_S, wait * 2)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Begin with the shortest again."""
        self._next_s = self._first_s


def _check_known(answer: Answer) -> None:
    if answer.status == 404:
        raise RegistrationLostError("control does not know this proxy")
    if answer.status == 403:
        raise RegistrationLostError("another process registered under this proxy's id")


def _seconds(value: object, default: float) -> float:
    """Return a pause control asked for, kept within sense."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return min(60.0, max(0.05, float(value)))
    return default


def _version_of(etag: str) -> int:
    """Return the version that an entity tag ``"<version>-<hash>"`` begins with, 0 when it does not."""
    digits = etag.strip().removeprefix("W/").strip('"').partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0


def _excerpt(answer: Answer) -> str:
    return answer.body[:200].decode("utf-8", "replace")
