"""Take part in federations, coordinate and simulate them: what runs outlives the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QFileDialog

from app.controllers import federation_forms as forms
from app.dialogs.confirm import ConfirmDialog
from app.dialogs.form import Field, FormDialog
from app.main_window import MainWindow
from app.session import Session
from app.settings import SettingsStore
from app.tasks.federation_story import FederationStory, is_federation
from app.tasks.federation_watch import FederationWatch
from app.tasks.run_process import Launcher, Question
from engine.archive.federation import RUNS_FOLDER, read_site
from engine.archive.federation_extra import FederatedExtraMissingError, require_flare
from engine.archive.federation_terms import needs_text
from engine.archive.registered import free_name, register
from engine.archive.run_folder import write_wish
from engine.errors import IsletError

_AS_IT_SAYS = forms.STATES[0]

Ask = Callable[[str, str, Sequence[Field], str], Mapping[str, str] | None]
"""Asks with a title, a text, fields and a verb; None where nothing shall be done."""


class Federate(QObject):
    """Answers the federation page.

    Args:
        session: Is told when a common model was registered.
        window: Whose federation page it is.
        watch: Follows the folders.
        question: Asks `islet` for what needs FLARE.
        store: Remembers the folders.
        show_error: Tells the user what went wrong.
        asks: Whether questions may be asked.
        ask: Asks for values; None opens a form.
    """

    settled = Signal()
    """Something that was asked for is done, or failed."""

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        watch: FederationWatch,
        question: Question,
        store: SettingsStore,
        *,
        show_error: Callable[[IsletError], None],
        asks: bool = True,
        ask: Ask | None = None,
    ) -> None:
        super().__init__(window)
        self._session = session
        self._window = window
        self._page = window.federation
        self._watch = watch
        self._question = question
        self._store = store
        self._show_error = show_error
        self._asks = asks
        self._ask = ask if ask is not None else self._ask_with_form
        self._launcher = Launcher()
        watch.changed.connect(self._page.show_stories)
        # Nobody pays for what nobody looks at: not at the start, and not while a case is read.
        self._page.shown.connect(watch.start)
        self._page.hidden.connect(watch.stop)

    def verbs(self) -> dict[str, Callable[[], object]]:
        """Return what this controller does, by action."""
        return {
            "page.federation": self._window.show_federation,
            "federation.request": self.request,
            "federation.join": self.join,
            "federation.coordinate": self.coordinate,
            "federation.simulate": self.simulate,
            "federation.open": self.open,
            "federation.start": self.start,
            "federation.stop": self.stop,
            "federation.approve": self.approve,
            "federation.revoke": self.revoke,
            "federation.run": self.begin_run,
            "federation.stop_run": self.stop_run,
            "federation.resume": self.resume,
            "federation.register": self.register,
            "federation.forget": self.forget,
        }

    def shutdown(self) -> None:
        """Follow nothing any more; what runs goes on."""
        self._watch.stop()
        self._question.drop()
        self._launcher.let_go()

    def request(self) -> None:
        """Make a key and a request for a coordinator."""
        given = self._needing_flare(
            "Join a federation", forms.REQUEST_TEXT, forms.request_fields(), "Make the request"
        )
        if given is None:
            return
        words = ("federate", "request", given["folder"], "--federation", given["federation"])
        named = ("--name", given["name"], "--organisation", given["organisation"])
        self._do((*words, *named), self._on_requested)

    def join(self) -> None:
        """Use the coordinator's answer to join."""
        story = self._page.chosen
        if story is None:
            return
        given = self._needing_flare(
            "Join with the coordinator's answer", forms.TERMS_TEXT, forms.join_fields(), "Join"
        )
        if given is not None:
            words = ("federate", "join", str(story.folder), given["signed"])
            self._do((*words, "--fingerprint", given["fingerprint"]), self._on_done)

    def coordinate(self) -> None:
        """Begin a federation on this computer."""
        given = self._needing_flare(
            "Coordinate a federation",
            forms.COORDINATE_TEXT,
            forms.coordinate_fields(),
            "Make the federation",
        )
        if given is None:
            return
        words = ("federate", "init", given["folder"], "--name", given["name"])
        more = ("--host", given["host"], "--port", given["port"])
        said = ("--organisation", given["organisation"])
        self._do((*words, *more, *said), lambda _: self._add(Path(given["folder"])))

    def approve(self) -> None:
        """Let a site in."""
        story = self._page.chosen
        if story is None:
            return
        given = self._needing_flare(
            "Approve a request",
            "Compare the key's fingerprint with the hospital by phone before you approve.",
            forms.approve_fields(),
            "Approve",
        )
        if given is not None:
            words = ("federate", "approve", str(story.folder), given["request"])
            self._do((*words, "--fingerprint", given["fingerprint"]), self._on_approved)

    def revoke(self) -> None:
        """Let a site take part no more."""
        story = self._page.chosen
        sites = tuple(name for name, state in story.members if state != "revoked") if story else ()
        if story is None or not sites:
            return
        given = self._needing_flare(
            "Revoke a site",
            "It is disconnected at once, and is let in no more. What it gave to finished rounds"
            " stays in the common model.",
            forms.revoke_fields(sites),
            "Revoke",
        )
        if given is not None:
            self._do(("federate", "revoke", str(story.folder), given["site"]), self._on_done)

    def start(self) -> None:
        """Start the chosen server, or take part as the chosen site."""
        story = self._page.chosen
        if story is None:
            return
        if story.kind == "coordinator":
            self._launch(("federate", "server", str(story.folder)), story.folder)
            return
        self._try(lambda: self._take_part(story))

    def stop(self) -> None:
        """End what runs in the chosen folder."""
        story = self._page.chosen
        if story is not None and self._agrees_to_stop(story):
            self._do(("federate", "stop", str(story.folder)), self._on_done)

    def begin_run(self) -> None:
        """Train a system with the sites of the chosen federation."""
        story = self._page.chosen
        if story is None:
            return
        given = self._needing_flare(
            "New federated run",
            "Sites train on what they hold, and only updates of the network travel. The run"
            " survives servers and sites that stop; this window may be closed.",
            forms.run_fields(forms.federable()),
            "Start",
        )
        if given is None:
            return
        words = ("federate", "run", str(story.folder), given["system"], "--run", given["run"])
        more = ("--min-sites", given["min_sites"], "--grace", given["grace"])
        asked = (*words, "--method", given["method"], *forms.common_words(given), *more)
        # What it takes is known in a few seconds, and what is wrong with it, too.
        self._do((*asked, "--dry-run"), lambda needs: self._on_needs(needs, story, asked, given))

    def stop_run(self) -> None:
        """End the chosen run; finished rounds are kept."""
        place = self._place_of_run()
        if place is not None:
            self._try(lambda: write_wish(place, "stop"))

    def resume(self) -> None:
        """Go on with the chosen run."""
        story, place = self._page.chosen, self._place_of_run()
        if story is None or place is None:
            return
        # Everything else the run itself remembers.
        words = ("federate", "run", str(story.folder), "--run", place.name, "--resume")
        self._launch(words, place)

    def simulate(self) -> None:
        """Simulate a federation on this computer."""
        given = self._ask(
            "Simulate a federation",
            "Every site trains on this computer, one after another. Without a file of sites, three"
            " of phantoms are made: a healthy one, one with tumours, and a small one.",
            forms.simulate_fields(forms.federable()),
            "Start",
        )
        if given is None:
            return
        out = Path(given["out"])
        words = ("federate", "simulate", given["system"], "--method", given["method"], "--table")
        sites = ("--sites", given["sites"]) if given["sites"] else ()
        self._launch((*words, *forms.common_words(given), *sites, "--out", str(out)), out)
        self._add(out)

    def open(self) -> None:
        """Follow a folder that is there already."""
        if not self._asks:
            return
        chosen = QFileDialog.getExistingDirectory(self._window, "Folder of a federation")
        if chosen:
            self.open_folder(Path(chosen))

    def open_folder(self, folder: Path) -> None:
        """Follow `folder`, if it is a federation's."""
        if not is_federation(folder):
            self._show_error(forms.NotAFederationError())
            return
        self._add(folder)

    def register(self) -> None:
        """Make the common model of the chosen run a system that analyses, and choose it."""
        place = self._place_of_run()
        if place is None:
            return

        def work() -> None:
            system = register(place, free_name(place))
            self._session.change_systems()
            self._session.choose_system(system.name)
            text = f"{system.name} is chosen to analyse the next case."
            self._window.statusBar().showMessage(text, 10_000)

        self._try(work)

    def forget(self) -> None:
        """Take the chosen folder off the list."""
        story = self._page.chosen
        if story is not None:
            self._watch.remove(story.folder)
            self._remember()

    def _take_part(self, story: FederationStory) -> None:
        site = read_site(story.folder)
        given = self._needing_flare(
            f"Take part as {site.name}",
            forms.TERMS_TEXT,
            forms.start_fields(site.data, site.share_at_most, site.device),
            "I agree – start",
        )
        if given is None:
            return
        words = ["federate", "start", str(story.folder), "--data", given["data"]]
        for structure in forms.STRUCTURES:
            if given[structure] != _AS_IT_SAYS:
                words += ["--annotation", f"{structure}={given[structure]}"]
        words += ["--share-at-most", forms.part_of(given["share"]), "--device", given["device"]]
        self._launch(words, story.folder)

    def _on_requested(self, made: Mapping[str, Any]) -> None:
        folder = Path(made["request"]).parent
        self._add(folder)
        self._tell(
            "Send request.zip to the coordinator",
            f"It lies in {folder}. Read the coordinator this fingerprint of your key by phone:\n\n"
            f"{made['fingerprint']}\n\nThe private key stays in that folder; never send it.",
        )

    def _on_approved(self, made: Mapping[str, Any]) -> None:
        self._watch.look()
        self._tell(
            f"{made['member']['name']} is in",
            f"Send this file back: {made['signed']}\n\nRead the hospital this fingerprint of the"
            f" authority by phone:\n\n{made['authority']}",
        )

    def _on_needs(
        self,
        needs: Mapping[str, Any],
        story: FederationStory,
        asked: tuple[str, ...],
        given: Mapping[str, str],
    ) -> None:
        text = needs_text(needs)
        if self._asks and not ConfirmDialog(self._window, "Start this run?", text, "Start").exec():
            self.settled.emit()
            return
        self._launch(asked, story.folder / RUNS_FOLDER / given["run"])
        self.settled.emit()

    def _on_done(self, _answer: Any) -> None:
        self._watch.look()

    def _place_of_run(self) -> Path | None:
        story, run = self._page.chosen, self._page.chosen_run
        return None if story is None or run is None else story.folder / RUNS_FOLDER / run.name

    def _needing_flare(
        self, title: str, text: str, fields: Sequence[Field], verb: str
    ) -> Mapping[str, str] | None:
        try:
            require_flare()
        except FederatedExtraMissingError as error:
            self._show_error(error)
            return None
        return self._ask(title, text, fields, verb)

    def _ask_with_form(
        self, title: str, text: str, fields: Sequence[Field], verb: str
    ) -> Mapping[str, str] | None:
        if not self._asks:
            return None
        dialog = FormDialog(self._window, title, text, fields, verb)
        return dialog.values if dialog.exec() else None

    def _agrees_to_stop(self, story: FederationStory) -> bool:
        if not self._asks:
            return True
        text = forms.STOPPING[story.kind == "coordinator"]
        return bool(ConfirmDialog(self._window, f"Stop {story.name}?", text, "Stop").exec())

    def _tell(self, title: str, text: str) -> None:
        if self._asks:
            QApplication.clipboard().setText(text)
            FormDialog(self._window, title, f"{text}\n\nThis text was copied.", (), "Done").exec()

    def _do(self, words: Sequence[str], on_success: Callable[[Any], None]) -> None:
        """Ask `islet` for an answer, one question at a time."""

        def succeed(answer: Any) -> None:
            on_success(answer)
            self.settled.emit()

        self._question.ask((*words, "--json"), on_success=succeed, on_failure=self._fail)

    def _launch(self, words: Sequence[str], folder: Path) -> None:
        def work() -> None:
            self._launcher.start((*self._question.command, *words), folder)
            self._watch.look()

        self._try(work)

    def _try(self, do: Callable[[], object]) -> None:
        try:
            do()
        except IsletError as error:
            self._fail(error)

    def _fail(self, error: IsletError) -> None:
        self._show_error(error)
        self.settled.emit()

    def _add(self, folder: Path) -> None:
        self._watch.add(folder)
        self._page.choose(folder)
        self._remember()

    def _remember(self) -> None:
        self._store.update(replace(self._store.settings, federations=self._watch.folders))
