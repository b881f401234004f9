"""What several tests use."""


class Shared(list):
    """A list that all calls of a denoiser share, though its state is copied for each view."""

    def __deepcopy__(self, memo):
        return self


def write_zarr(path, array):
    """Write an array to a zarr file."""
    import dask.array as da

    da.asarray(array, chunks="auto").to_zarr(path)
