"""Builds surfaces from masks and densities, fit for a worker thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkFiltersCore import (
    vtkFlyingEdges3D,
    vtkPolyDataNormals,
    vtkReverseSense,
    vtkSurfaceNets3D,
)

from app.views.looks import BODY, BONE
from engine.finding import Box, Finding
from engine.geometry import Geometry
from engine.volume import LabelMap, Volume

# ours: coarse enough for a quick mesh, fine enough to know a rib from a vertebra
_CONTEXT_MM = {BODY: 7.0, BONE: 3.5}
_BODY_HU = -300.0
_BONE_HU = 220.0
_SMALLEST_BONE_MM3 = 3000.0
_MOST_VOXELS = 3_000_000  # ours: SurfaceNets stays below about 0.2 s


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A surface in patient coordinates.

    Args:
        structure: What it is the surface of.
        finding_id: The finding it belongs to, or None.
        mesh: Triangles with normals; points are (x, y, z) LPS in mm.
    """

    structure: str
    finding_id: str | None
    mesh: vtkPolyData

    @property
    def centre_mm(self) -> tuple[float, float, float]:
        """Middle of the enclosing box, (x, y, z) LPS in mm."""
        low_x, high_x, low_y, high_y, low_z, high_z = self.mesh.GetBounds()
        return (low_x + high_x) / 2, (low_y + high_y) / 2, (low_z + high_z) / 2


def build_surfaces(labels: LabelMap, findings: tuple[Finding, ...] = ()) -> tuple[Surface, ...]:
    """Return the smoothed surface of every structure; those of findings apart from the rest.

    Args:
        labels: The structures.
        findings: What lies in the box of an outlined finding of the same structure becomes its
            surface.
    """
    surfaces: list[Surface] = []
    places = ndimage.find_objects(labels.labels)
    for value, structure in labels.names.items():
        where = places[value - 1] if 0 < value <= len(places) else None
        if where is None:
            continue
        mask = labels.labels[where] == value
        offset = tuple(part.start for part in where)
        for finding in (f for f in findings if f.structure == structure and f.is_outlined):
            inside = _inside(finding.box_mm, labels.geometry, mask.shape, offset)
            own = mask & inside
            if own.any():
                mesh = mask_surface(own, offset, labels.geometry)
                surfaces.append(Surface(structure, finding.finding_id, mesh))
                mask = mask & ~inside
        if mask.any():
            surfaces.append(Surface(structure, None, mask_surface(mask, offset, labels.geometry)))
    return tuple(surfaces)


def build_context(volume: Volume) -> tuple[Surface, ...]:
    """Return coarse surfaces of skin and bone that say where in the body one is."""
    surfaces = []
    for structure, find in ((BODY, _body_mask), (BONE, _bone_mask)):
        coarse, geometry = _coarser(volume, _CONTEXT_MM[structure])
        if min(coarse.shape) < 3:
            continue
        mask = find(coarse, geometry)
        if mask.any():
            soft = np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), 0.8), np.float32)
            surfaces.append(Surface(structure, None, _level_surface(soft, geometry)))
    return tuple(surfaces)


def mask_surface(
    mask: NDArray[np.bool_], offset: tuple[int, ...], geometry: Geometry
) -> vtkPolyData:
    """Return the smoothed surface of one mask.

    Args:
        mask: (slices, rows, columns), a part of the grid of `geometry`.
        offset: Index of its first voxel in the grid.
        geometry: The whole grid.
    """
    stride = max(1, int(np.ceil((mask.size / _MOST_VOXELS) ** (1 / 3))))
    padded = np.pad(mask[::stride, ::stride, ::stride], 1).astype(np.uint8)
    nets = vtkSurfaceNets3D()
    nets.SetInputData(_image(padded, geometry))
    nets.SetValue(0, 1)
    nets.SmoothingOn()
    nets.SetOutputMeshTypeToTriangles()
    nets.Update()
    start = np.asarray(offset, dtype=np.float64) - stride
    return _placed(nets.GetOutput(), geometry, start, stride)


def _level_surface(soft: NDArray[np.float32], geometry: Geometry) -> vtkPolyData:
    edges = vtkFlyingEdges3D()
    edges.SetInputData(_image(soft, geometry))
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.Update()
    return _placed(edges.GetOutput(), geometry, np.zeros(3), 1)


def _image(array: NDArray, geometry: Geometry) -> vtkImageData:
    """Hand an array (slices, rows, columns) to VTK, whose x is the column."""
    image = vtkImageData()
    image.SetDimensions(array.shape[2], array.shape[1], array.shape[0])
    image.SetSpacing(*geometry.spacing_mm[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image


def _placed(
    mesh: vtkPolyData, geometry: Geometry, start: NDArray[np.float64], stride: int
) -> vtkPolyData:
    """Move a mesh from VTK's grid to the patient, and give it outward normals."""
    placed = vtkPolyData()
    placed.ShallowCopy(mesh)
    if mesh.GetNumberOfPoints():
        scaled = vtk_to_numpy(mesh.GetPoints().GetData())[:, ::-1].astype(np.float64)
        index = start + scaled / geometry.spacing_mm * stride
        points = vtkPoints()
        points.SetData(numpy_to_vtk(geometry.to_patient(index).astype(np.float32), deep=True))
        placed.SetPoints(points)
    placed.GetCellData().Initialize()
    # The order (column, row, slice) of VTK mirrors a grid whose axes are right-handed as given;
    # there the corners of every triangle are turned round, or its front would be its back.
    if np.linalg.det(np.fliplr(geometry.direction)) < 0:
        turned = vtkReverseSense()
        turned.SetInputData(placed)
        turned.ReverseNormalsOff()
        turned.Update()
        placed = turned.GetOutput()
    normals = vtkPolyDataNormals()
    normals.SetInputData(placed)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _inside(
    box: Box, geometry: Geometry, shape: tuple[int, ...], offset: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return which voxels of a part of the grid lie in a box."""
    corners = np.stack(
        np.meshgrid(*np.array([box.lower_mm, box.upper_mm]).T, indexing="ij"), axis=-1
    )
    index = geometry.to_index(corners.reshape(-1, 3)) - offset
    low = np.clip(np.ceil(index.min(axis=0) - 1e-3), 0, shape).astype(int)
    high = np.clip(np.floor(index.max(axis=0) + 1e-3) + 1, 0, shape).astype(int)
    inside = np.zeros(shape, dtype=np.bool_)
    inside[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
    return inside


def _coarser(volume: Volume, target_mm: float) -> tuple[NDArray[np.float32], Geometry]:
    """Return the means of blocks of about `target_mm`, and their grid."""
    spacing = np.asarray(volume.geometry.spacing_mm)
    steps = np.maximum(1, np.rint(target_mm / spacing)).astype(int)
    steps = np.minimum(steps, volume.geometry.shape)
    shape = np.asarray(volume.geometry.shape) // steps
    cut = volume.voxels_hu[tuple(slice(0, n * s) for n, s in zip(shape, steps, strict=True))]
    blocks = cut.reshape(shape[0], steps[0], shape[1], steps[1], shape[2], steps[2])
    affine = volume.geometry.affine.copy()
    affine[:3, 3] = volume.geometry.to_patient([(steps - 1) / 2])[0]
    affine[:3, :3] = affine[:3, :3] * steps
    coarse = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return coarse, Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _body_mask(coarse: NDArray[np.float32], geometry: Geometry) -> NDArray[np.bool_]:
    """Return the patient without the table and with lungs and bowel filled."""
    parts = _connected(np.asarray(ndimage.binary_opening(coarse > _BODY_HU), np.bool_))
    sizes = np.bincount(parts.ravel(), minlength=2)
    sizes[0] = 0
    body = parts == max(1, int(sizes.argmax()))
    for number, picture in enumerate(body):
        body[number] = ndimage.binary_fill_holes(picture)
    return body


def _bone_mask(coarse: NDArray[np.float32], geometry: Geometry) -> NDArray[np.bool_]:
    parts = _connected(coarse > _BONE_HU)
    sizes = np.bincount(parts.ravel()) * geometry.voxel_volume_mm3
    sizes[0] = 0
    return np.asarray(sizes > _SMALLEST_BONE_MM3)[parts]


def _connected(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    parts = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=parts)
    return parts
