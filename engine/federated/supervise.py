"""See a run of a federation to its end, whatever happens to its server and sites.

FLARE ends a job when the server stops, and lets no site back into a running one. So a run is as
many jobs as it takes: each goes on from the last aggregate, with the sites that are there.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.archive.federation import (
    REGROUP,
    RESULT_FILE,
    ROUNDS_FILE,
    Coordinator,
    claim,
    now,
    read_coordinator,
    read_lines,
    read_members,
    tell,
)
from engine.archive.federation_extra import require_flare
from engine.archive.run_events import EventTail
from engine.archive.run_folder import (
    CONTROL_FILE,
    RUN_FILE,
    read_control,
    replace_text,
    write_json,
    write_wish,
)
from engine.errors import CancelledError, IsletError
from engine.federated.flare.job import Job, write_job
from engine.federated.kits.provision import ADMIN
from engine.federated.run_keeper import read_order, revoked_sites

if TYPE_CHECKING:
    from nvflare.fuel.flare_api.flare_api import Session

_LOOK_EVERY_S = 1.0
_WAIT_S = 180.0  # ours: a site that is restarted is back within one minute
_LOGIN_S = 20.0
_FRUITLESS = 3  # ours: jobs in a row that end without a round
_SERVER_GONE = "The server does not answer; it is waited for."


class TooFewSitesError(IsletError):
    """There are not enough sites to go on with."""

    def __init__(self, there: Sequence[str], needed: int) -> None:
        named = f" ({', '.join(there)})" if there else ""
        super().__init__(
            f"Only {len(there)} of the {needed} sites that are needed are connected{named}.",
            remedy="Nothing is lost. Ask the others to start, then resume the run.",
        )


class NoServerError(IsletError):
    """The federation's server does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "The server of the federation does not answer.",
            remedy="Nothing is lost. Start it with 'islet federate server', then resume the run.",
        )


class NoProgressError(IsletError):
    """Job after job ended without a round."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The run does not get on: {why}",
            remedy="Nothing is lost. Look at the sites' logs, then resume the run.",
        )


class Admin(Protocol):
    """What is asked of FLARE's server."""

    def connected(self) -> tuple[str, ...]:
        """Return the names of the connected sites; may raise OSError."""
        ...

    def submit(self, folder: Path) -> str:
        """Submit the job in `folder`, and return its id; may raise OSError."""
        ...

    def is_over(self, job_id: str) -> bool:
        """Return whether a job has ended; may raise OSError."""
        ...

    def abort(self, job_id: str) -> None:
        """End a job; may raise OSError."""
        ...

    def disable(self, site: str) -> None:
        """Let a site in no more, and throw it out; may raise OSError."""
        ...


@contextlib.contextmanager
def admin_of(folder: Path) -> Iterator[Admin]:
    """Log in to the server of the federation in `folder`; what fails there is an OSError.

    Raises:
        NoServerError: If it does not answer.
    """
    require_flare()
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    # FLARE says on the standard output that it connects.
    with _as_os_errors(), contextlib.redirect_stdout(io.StringIO()):
        try:
            session = new_secure_session(ADMIN, str(folder / "admin"), timeout=_LOGIN_S)
        except _flare_errors() as error:
            raise NoServerError from error
    try:
        yield _FlareAdmin(session)
    finally:
        with contextlib.suppress(OSError), _as_os_errors():
            session.close()


class _FlareAdmin:
    """FLARE's administration, with errors that Python knows."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def connected(self) -> tuple[str, ...]:
        with _as_os_errors():
            return tuple(sorted(c.name for c in self._session.get_connected_client_list()))

    def submit(self, folder: Path) -> str:
        with _as_os_errors():
            return self._session.submit_job(str(folder))

    def is_over(self, job_id: str) -> bool:
        with _as_os_errors():
            status = str(self._session.get_job_meta(job_id).get("status"))
        return status.startswith(("FINISHED", "REJECTED", "FAILED"))

    def abort(self, job_id: str) -> None:
        with _as_os_errors():
            self._session.abort_job(job_id)

    def disable(self, site: str) -> None:
        with _as_os_errors():
            self._session.disable_client(site)


@dataclass(frozen=True, slots=True)
class Run:
    """A run to see to its end.

    Args:
        folder: The coordinator's.
        run: Name of the run, whose order is written already.
        wait_s: How long missing sites or a missing server are waited for.
        on_look: Called about once a second; to cancel, it raises CancelledError.
    """

    folder: Path
    run: str
    wait_s: float = _WAIT_S
    on_look: Callable[[], None] = lambda: None

    @property
    def place(self) -> Path:
        """Folder of the run."""
        return self.folder / "runs" / self.run


def supervise(run: Run, login: Callable[[Path], Any] = admin_of) -> None:
    """See `run` to its end.

    Raises:
        CancelledError: If it was stopped; everything is kept.
        IsletError: If it cannot go on; everything is kept.
    """
    _Supervisor(run, login).run()


class _Supervisor:
    """Submits job after job until the run is finished."""

    def __init__(self, run: Run, login: Callable[[Path], Any]) -> None:
        self._run = run
        self._login = login
        self._coordinator: Coordinator = read_coordinator(run.folder)
        _, self._terms = read_order(run.place)

    def run(self) -> None:
        """Return when the run is finished."""
        place = self._run.place
        claim(place)
        write_wish(place, "run")
        self._set_state("running")
        try:
            self._jobs()
        except CancelledError:
            self._set_state("stopped", "The run was stopped.", "It can be resumed at any time.")
            raise
        except IsletError as error:
            self._set_state("failed", error.message, error.remedy)
            raise
        self._set_state("finished")

    def _jobs(self) -> None:
        fruitless = 0
        while not self._is_finished():
            before = self._num_rounds()
            why = self._job()
            self._look()
            fruitless = 0 if self._num_rounds() > before else fruitless + 1
            if fruitless >= _FRUITLESS and not self._is_finished():
                raise NoProgressError(why)

    def _job(self) -> str:
        """Submit one job and follow it; return why it ended, where the run is not finished."""
        with self._logged_in() as admin:
            tail = EventTail(self._run.folder)
            try:
                sites = self._enough_sites(admin)
                tail.read()
                job_id = self._submitted(admin, sites)
            except NoServerError:
                self._tell("alarm", text=_SERVER_GONE)
                return "the server went away."
            self._tell("job", job_id=job_id, sites=list(sites), round=self._num_rounds() + 1)
            try:
                return self._follow(admin, job_id, sites, tail)
            finally:
                # One that is over does not mind; FLARE would wait for sites that are gone.
                with contextlib.suppress(OSError):
                    admin.abort(job_id)

    def _submitted(self, admin: Admin, sites: tuple[str, ...]) -> str:
        replace_text(self._run.place / CONTROL_FILE, "run\n")
        with tempfile.TemporaryDirectory() as made:
            place = write_job(Job(self._run.run, sites, self._terms.min_sites), Path(made))
            try:
                return admin.submit(place)
            except OSError as error:
                raise NoServerError from error

    def _follow(self, admin: Admin, job_id: str, sites: Sequence[str], tail: EventTail) -> str:
        """Return why a job has ended, or must."""
        left = set(sites)
        while not self._is_finished():
            self._look()
            for event in tail.read():
                if event["event"] == "state" and event.get("state") == "online":
                    self._tell("alarm", text="The server was restarted; the run goes on.")
                    return "the server was restarted."
                left -= self._gone(event)
            if sent_away := sorted(revoked_sites(self._run.folder) & set(sites)):
                text = f"Revoked: {', '.join(sent_away)}. The run goes on with the others."
                self._tell("alarm", text=text)
                return "a site was revoked."
            if len(left) < self._terms.min_sites:
                self._tell("alarm", text="Too few sites are left; the others are waited for.")
                return "too few sites were left."
            try:
                if admin.is_over(job_id):
                    return "the job ended early."
            except OSError:
                self._tell("alarm", text=_SERVER_GONE)
                return "the server went away."
            time.sleep(_LOOK_EVERY_S)
        return ""

    def _gone(self, event: Mapping[str, Any]) -> set[str]:
        """Return the site that an event of the server says is out of the job."""
        site = str(event.get("site"))
        if event["event"] == "connected":
            # FLARE lets nobody back into a running job.
            self._tell("returned", site=site)
            replace_text(self._run.place / CONTROL_FILE, f"{REGROUP}\n")
            return {site}
        return {site} if event["event"] == "disconnected" else set()

    @contextlib.contextmanager
    def _logged_in(self) -> Iterator[Admin]:
        with contextlib.ExitStack() as stack:
            yield self._entered(stack)

    def _entered(self, stack: contextlib.ExitStack) -> Admin:
        until = time.monotonic() + self._run.wait_s
        while True:
            self._look()
            try:
                return stack.enter_context(self._login(self._run.folder))
            except NoServerError:
                if time.monotonic() > until:
                    raise
            time.sleep(_LOOK_EVERY_S)

    def _enough_sites(self, admin: Admin) -> tuple[str, ...]:
        until = time.monotonic() + self._run.wait_s
        while True:
            self._look()
            members = {member.name for member in read_members(self._run.folder)}
            welcome = members - revoked_sites(self._run.folder)
            try:
                there = tuple(site for site in admin.connected() if site in welcome)
            except OSError as error:
                raise NoServerError from error
            if len(there) >= self._terms.min_sites:
                return there
            if time.monotonic() > until:
                raise TooFewSitesError(there, self._terms.min_sites)
            time.sleep(_LOOK_EVERY_S)

    def _look(self) -> None:
        """End here if somebody wants that."""
        self._run.on_look()
        if read_control(self._run.place) == "stop":
            raise CancelledError

    def _is_finished(self) -> bool:
        return (self._run.place / RESULT_FILE).exists()

    def _num_rounds(self) -> int:
        return len(read_lines(self._run.place / ROUNDS_FILE))

    def _set_state(self, state: str, message: str = "", remedy: str = "") -> None:
        place = self._run.place
        values = {"run": self._run.run, "state": state, "message": message, "remedy": remedy}
        write_json(place / RUN_FILE, {**values, "when": now()})
        self._tell("state", state=state, message=message, remedy=remedy)

    def _tell(self, event: str, **values: Any) -> None:
        tell(self._run.place, event, **values)


def _flare_errors() -> tuple[type[Exception], ...]:
    from nvflare.fuel.flare_api import api_spec

    kinds = (value for value in vars(api_spec).values() if isinstance(value, type))
    own = tuple(kind for kind in kinds if issubclass(kind, Exception))
    return (*own, ConnectionError, TimeoutError, RuntimeError)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, IsletError):
        raise
    except _flare_errors() as error:
        raise ConnectionError(str(error)) from error
