"""A pyvista scene that is rendered off screen and read back as pixels."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    # Without a display VTK would look for X first and warn.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import pyvista  # needs the choice above
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray
from vtkmodules.vtkCommonDataModel import vtkPolyData

from app.views.camera import VIEW_ANGLE_DEG, Camera

_GROUND_LOW, _GROUND_HIGH = "#05070a", "#161d26"


@dataclass(frozen=True, slots=True)
class Look:
    """How a surface is drawn.

    Args:
        colour: "#rrggbb".
        opacity: 0 to 1.
        shell: Whether only the far side is drawn, so that nothing lies in front of the rest.
    """

    colour: str
    opacity: float
    shell: bool = False


class Scene:
    """Holds surfaces on the graphics side; every call belongs to the GUI thread."""

    def __init__(self) -> None:
        self._plotter = pyvista.Plotter(off_screen=True, window_size=[64, 64], lighting="none")
        self._plotter.renderer.set_background(_GROUND_LOW, top=_GROUND_HIGH)
        self._plotter.add_light(pyvista.Light(light_type="headlight", intensity=0.75))
        side = pyvista.Light(position=(0.6, 0.9, 0.7), light_type="camera light", intensity=0.45)
        self._plotter.add_light(side)
        self._pixels = vtkUnsignedCharArray()

    def show(self, name: str, mesh: vtkPolyData, look: Look) -> None:
        """Add a surface, or replace the one of the same name."""
        actor = self._plotter.add_mesh(
            pyvista.wrap(mesh),
            name=name,
            color=look.colour,
            opacity=look.opacity,
            smooth_shading=False,
            specular=0.0 if look.shell else 0.25,
            specular_power=20,
            culling="front" if look.shell else None,
            reset_camera=False,
            render=False,
            show_scalar_bar=False,
        )
        actor.prop.interpolation = "gouraud"

    def restyle(self, name: str, look: Look) -> None:
        """Draw a surface in another colour or opacity."""
        actor = self._plotter.actors.get(name)
        if isinstance(actor, pyvista.Actor):
            actor.prop.color = look.colour
            actor.prop.opacity = look.opacity
            actor.visibility = look.opacity > 0

    def remove(self, name: str) -> None:
        """Take a surface away, if it is there."""
        self._plotter.renderer.remove_actor(name, reset_camera=False, render=False)

    def names(self) -> tuple[str, ...]:
        """Return the names of all surfaces."""
        return tuple(self._plotter.actors)

    def render(self, width: int, height: int, camera: Camera) -> NDArray[np.uint8]:
        """Draw the scene.

        Returns:
            (height, width, 4), RGBA, top row first.
        """
        window = self._plotter.render_window
        renderer = self._plotter.renderer
        assert window is not None
        window.SetSize(width, height)
        view = renderer.camera
        assert view is not None
        view.position = camera.position_mm
        view.focal_point = camera.focus_mm
        view.up = tuple(camera.axes[1])
        view.view_angle = VIEW_ANGLE_DEG
        renderer.ResetCameraClippingRange()
        window.Render()
        window.GetRGBACharPixelData(
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
        self._plotter.close()
