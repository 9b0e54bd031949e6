"""What the window and the engine process say to each other.

One JSON object per line. The window sends requests, the engine answers with events; volumes
and labels do not travel on the wire but in files that both processes map.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.case import Case
from engine.geometry import Geometry
from engine.volume import Remark, Volume

EXIT_OUT_OF_MEMORY = 70
EXIT_BUG = 71


@dataclass(frozen=True, slots=True)
class MappedArray:
    """Where an array lies that both processes map.

    Args:
        path: The file; it may be gone as soon as both have mapped it.
        dtype: NumPy's name of the voxel type, e.g. "int16".
        shape: (slices, rows, columns).
    """

    path: str
    dtype: str
    shape: tuple[int, int, int]

    def open_to_read(self) -> NDArray[Any]:
        """Map the array; an attempt to write to it is a ValueError."""
        return np.asarray(np.memmap(self.path, dtype=self.dtype, mode="r", shape=self.shape))

    def open_to_write(self) -> NDArray[Any]:
        """Map the array; what is written is seen by every process that maps it."""
        return np.asarray(np.memmap(self.path, dtype=self.dtype, mode="r+", shape=self.shape))


def encode(message: Mapping[str, Any]) -> bytes:
    """Return `message` as one line of JSON, line end included.

    Raises:
        ValueError: If it holds a number that JSON cannot say, such as NaN.
    """
    return json.dumps(message, allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message that `encode` turned into `line`."""
    return json.loads(line)


def warm_request(system: str, device: str) -> dict[str, Any]:
    """Ask the engine to load a system before it is needed."""
    return {"request": "warm", "job": 0, "system": system, "device": device}


def predict_request(
    job: int, case: Case, system: str, *, device: str, volume: MappedArray, labels: MappedArray
) -> dict[str, Any]:
    """Ask the engine to run a system on a case.

    Nothing that names the patient is in the request: the engine needs the voxels alone.

    Args:
        job: Repeated in every event about this request.
        case: Described without its voxels and without its identity.
        system: Name of the system.
        device: "auto", "cpu" or e.g. "cuda:0".
        volume: Where the voxels of the case lie.
        labels: Where the engine writes the label map, uint8 and of the volume's shape.
    """
    return {
        "request": "predict",
        "job": job,
        "system": system,
        "device": device,
        "case_id": case.case_id,
        "phase": case.phase,
        "affine": case.volume.geometry.affine.tolist(),
        "remarks": [asdict(remark) for remark in case.volume.remarks],
        "volume": asdict(volume),
        "labels": asdict(labels),
    }


def case_of(request: Mapping[str, Any]) -> Case:
    """Map the volume of a predict request, and return the case it describes."""
    array = mapped_array(request["volume"])
    return Case(
        case_id=request["case_id"],
        volume=Volume(
            array.open_to_read(),
            Geometry(shape=array.shape, affine=np.asarray(request["affine"])),
            remarks=tuple(Remark(**remark) for remark in request["remarks"]),
        ),
        phase=request["phase"],
    )


def mapped_array(values: Mapping[str, Any]) -> MappedArray:
    """Return the descriptor that `dataclasses.asdict` took apart."""
    slices, rows, columns = values["shape"]
    return MappedArray(values["path"], values["dtype"], (slices, rows, columns))
