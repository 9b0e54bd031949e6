"""Arrays on disk, compressed in small blocks, of which a patch reads only what it needs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.errors import IsletError

ScalarT = TypeVar("ScalarT", bound=np.generic)

# ours: measured on prepared CTs. Patches of any system are some of these chunks, and a block
# stays in a core's first cache.
_CHUNK = (64, 64, 64)
_BLOCK = (16, 16, 32)
# Mapped files are broken on Windows: MIC-DKFZ/nnUNet issue 2723.
_MAPPING = None if sys.platform == "win32" else "r"


class DamagedStoreError(IsletError):
    """A prepared case that cannot be read any more."""

    def __init__(self, case_id: str) -> None:
        super().__init__(
            f"The prepared data of case {case_id} are damaged.",
            remedy="Run 'islet prepare' again; it prepares anew only what is damaged.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class ChunkedArray(Generic[ScalarT]):
    """A compressed array on disk; slicing it reads and unpacks the blocks concerned.

    Every read opens the file for itself, so many threads and processes may read at once, and
    however many cases there are, no file stays open.

    Args:
        path: A file that `write_chunked` wrote.
        shape: Number of voxels along each axis.
        dtype: Type of the voxels.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[ScalarT]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[ScalarT]:
        """Return the voxels of a slice as an array in memory.

        Raises:
            DamagedStoreError: If the file is damaged.
        """
        import blosc2

        # Its annotations name every kind of file it may find, and not what the options may be.
        open_array: Any = blosc2.open
        try:
            # One thread: readers run side by side, and Blosc's own pool is shared by all of them.
            array: Any = open_array(
                str(self.path), mode="r", mmap_mode=_MAPPING, dparams={"nthreads": 1}
            )
            if tuple(array.shape) != self.shape or array.dtype != self.dtype:
                raise ValueError("the file holds another array")
            found = array[key]
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            with suppress(OSError):
                # The next preparation trusts files whose time is unchanged.
                os.utime(self.path)
            raise DamagedStoreError(self.path.parent.name) from error
        return cast("NDArray[ScalarT]", np.asarray(found))

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        if copy is False:
            raise ValueError("a compressed array is always copied")
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype, copy=False)


def write_chunked(array: NDArray[ScalarT], path: Path) -> None:
    """Write `array` so that `ChunkedArray` reads it.

    Raises:
        OSError: If it cannot be written, e.g. because the disk is full.
    """
    import blosc2

    chunks = tuple(min(n, c) for n, c in zip(array.shape, _CHUNK, strict=True))
    blocks = tuple(min(n, b) for n, b in zip(chunks, _BLOCK, strict=True))
    pack: Any = blosc2.asarray
    packed = pack(
        np.ascontiguousarray(array),
        chunks=chunks,
        blocks=blocks,
        cparams={
            "codec": blosc2.Codec.ZSTD,
            "clevel": 5,
            "filters": [blosc2.Filter.SHUFFLE],
            "nthreads": 1,
        },
    )
    # By way of memory: Blosc does not say why a write to disk failed.
    path.write_bytes(packed.to_cframe())
