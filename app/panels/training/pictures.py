"""Sample predictions of a run's validations, one epoch at a time."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QSlider, QWidget

from app import theme
from app.panels import parts
from app.tasks.run_story import RunStory


class PicturesView(QWidget):
    """A picture and a slider over the epochs; follows the newest until another is chosen."""

    def __init__(self) -> None:
        super().__init__()
        self._pictures: tuple[tuple[int, Path], ...] = ()
        self._run_id = ""
        self.picture = _Picture()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Epoch of the picture")
        self.slider.setToolTip("Earlier and later validations (left and right)")
        self._epoch = QLabel()
        self._epoch.setFixedWidth(90)
        self._empty = parts.empty_state(
            "image-multiple-outline", "The first validation brings the first pictures."
        )
        self._foot = QWidget()
        line = parts.row(self._epoch)
        line.addWidget(self.slider, 1)
        self._foot.setLayout(line)
        box = parts.column(self, spacing=8)
        box.addWidget(self._empty, 1)
        box.addWidget(self.picture, 1)
        box.addWidget(self._foot)
        self.slider.valueChanged.connect(lambda _: self._show())
        self._refresh()

    @property
    def shown(self) -> Path | None:
        """The picture that is shown."""
        return self._pictures[self.slider.value()][1] if self._pictures else None

    def show_run(self, story: RunStory) -> None:
        """Follow a run."""
        is_same = story.run_id == self._run_id
        if is_same and story.pictures == self._pictures:
            return
        was_newest = not is_same or self.slider.value() == self.slider.maximum()
        self._run_id, self._pictures = story.run_id, story.pictures
        last = max(len(self._pictures) - 1, 0)
        self.slider.setRange(0, last)
        if was_newest:
            self.slider.setValue(last)
        self._refresh()

    def _refresh(self) -> None:
        self._empty.setVisible(not self._pictures)
        self.picture.setVisible(bool(self._pictures))
        self._foot.setVisible(bool(self._pictures))
        self._show()

    def _show(self) -> None:
        if self._pictures:
            epoch, path = self._pictures[min(self.slider.value(), len(self._pictures) - 1)]
            self._epoch.setText(f"Epoch {epoch}")
            self.picture.show_file(path)


class _Picture(QWidget):
    """A picture as large as fits, never larger than twice its size."""

    def __init__(self) -> None:
        super().__init__()
        self._image = QImage()
        self.setMinimumHeight(120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def has_image(self) -> bool:
        """Whether the file could be read."""
        return not self._image.isNull()

    def show_file(self, path: Path) -> None:
        self._image = QImage(str(path))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw it in the middle."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self._image.isNull():
            painter.setPen(theme.QUIET_TEXT)
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, "This picture cannot be read any more."
            )
        else:
            size = self._image.size()
            scale = min(self.width() / size.width(), self.height() / size.height(), 2.0)
            width, height = size.width() * scale, size.height() * scale
            place = QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)
            painter.drawImage(place, self._image)
        painter.end()
