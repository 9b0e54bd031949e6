"""CT-like abdomens with exact ground truth, made from a seed."""

from engine.data.phantom.make import Phantom, make_phantom
from engine.data.phantom.spec import PhantomSpec, sample_spec

__all__ = ["Phantom", "PhantomSpec", "make_phantom", "sample_spec"]
