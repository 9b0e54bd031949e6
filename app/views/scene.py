"""A VTK scene that is rendered off screen and read back as pixels."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    # Without a display VTK would look for X first and warn.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

# VTK alone: pyvista would load 270 modules more on the GUI thread with the first scene.
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - registers what the factories below make
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkLight,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
)

from app import theme
from app.views.camera import VIEW_ANGLE_DEG, Camera
from app.views.looks import Look
from engine.errors import IsletError


class NoOpenGLError(IsletError):
    """The computer cannot draw in three dimensions."""

    def __init__(self) -> None:
        super().__init__(
            "This computer offers no OpenGL 3.2, so nothing is drawn in three dimensions.",
            remedy="Read in the three planes, or install a graphics driver.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A surface as it is to be drawn.

    Args:
        mesh: Triangles with normals; points are (x, y, z) LPS in mm.
        look: How it is drawn.
    """

    mesh: vtkPolyData
    look: Look


class Scene:
    """Holds surfaces on the graphics side; every call belongs to the GUI thread.

    Raises:
        NoOpenGLError: If the computer cannot draw it.
    """

    def __init__(self) -> None:
        self._window = vtkRenderWindow()
        self._window.SetShowWindow(False)
        self._window.SetOffScreenRendering(True)
        if not self._window.SupportsOpenGL():
            raise NoOpenGLError
        self._window.SetMultiSamples(0)
        self._behind, self._front = _lit_renderer(), _lit_renderer()
        self._behind.SetBackground(*_rgb(theme.GROUND_LOW))
        self._behind.SetBackground2(*_rgb(theme.GROUND_HIGH))
        self._behind.GradientBackgroundOn()
        # A layer of its own starts with an empty depth buffer: no bone covers what lies in it.
        self._front.SetLayer(1)
        self._window.SetNumberOfLayers(2)
        self._window.AddRenderer(self._behind)
        self._window.AddRenderer(self._front)
        self._pixels = vtkUnsignedCharArray()
        self._items: dict[str, Item] = {}
        self._actors: dict[str, vtkActor] = {}

    def show(self, items: Mapping[str, Item]) -> None:
        """Hold exactly these surfaces; what is there already is kept or restyled."""
        for name, held in tuple(self._items.items()):
            wanted = items.get(name)
            if wanted is None or wanted.mesh is not held.mesh:
                self._renderer_of(held).RemoveActor(self._actors.pop(name))
                del self._items[name]
        for name, item in items.items():
            if name not in self._actors:
                self._actors[name] = _actor(item.mesh)
                self._renderer_of(item).AddActor(self._actors[name])
            _restyle(self._actors[name], item.look)
            self._items[name] = item

    def render(self, width: int, height: int, camera: Camera) -> NDArray[np.uint8]:
        """Draw the scene.

        Returns:
            (height, width, 4), RGBA, top row first.
        """
        self._window.SetSize(width, height)
        for renderer in (self._behind, self._front):
            view = renderer.GetActiveCamera()
            view.SetPosition(*camera.position_mm)
            view.SetFocalPoint(*camera.focus_mm)
            view.SetViewUp(*camera.axes[1])
            view.SetViewAngle(VIEW_ANGLE_DEG)
            renderer.ResetCameraClippingRange()
        self._window.Render()
        self._window.GetRGBACharPixelData(
            0,
            0,
            width - 1,
            height - 1,
            0,
            self._pixels,  # pyright: ignore[reportArgumentType]
        )
        pixels = vtk_to_numpy(self._pixels).reshape(height, width, 4)
        return np.ascontiguousarray(pixels[::-1])

    def close(self) -> None:
        """Give the graphics memory back; the scene cannot be used afterwards."""
        self.show({})
        self._window.Finalize()

    def _renderer_of(self, item: Item) -> vtkRenderer:
        return self._front if item.look.in_front else self._behind


def _lit_renderer() -> vtkRenderer:
    renderer = vtkRenderer()
    renderer.AutomaticLightCreationOff()
    head = vtkLight()
    head.SetLightTypeToHeadlight()
    head.SetIntensity(0.75)
    side = vtkLight()
    side.SetLightTypeToCameraLight()
    side.SetPosition(0.6, 0.9, 0.7)
    side.SetIntensity(0.45)
    renderer.AddLight(head)
    renderer.AddLight(side)
    return renderer


def _actor(mesh: vtkPolyData) -> vtkActor:
    mapper = vtkPolyDataMapper()
    mapper.SetInputDataObject(mesh)
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetInterpolationToGouraud()
    actor.GetProperty().SetSpecularPower(20)
    return actor


def _restyle(actor: vtkActor, look: Look) -> None:
    style = actor.GetProperty()
    style.SetColor(*_rgb(look.colour))
    style.SetOpacity(look.opacity)
    style.SetSpecular(0.25 if look.in_front else 0.0)
    style.SetFrontfaceCulling(look.shell)
    actor.SetVisibility(look.opacity > 0)


def _rgb(colour: str) -> tuple[float, float, float]:
    """Turn "#rrggbb" into parts of 0 to 1."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red / 255, green / 255, blue / 255
