"""The searches for the best parameters, by the self-supervised loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils._param_validation import Interval

from ._base import BaseSelfSupervisedSearch

__all__ = ["SelfSupervisedRandomizedSearchCV", "SelfSupervisedSearchCV"]


class SelfSupervisedSearchCV(BaseSelfSupervisedSearch):
    """Grid search by the self-supervised loss: no clean data, no noise level.

    Entries are hidden, predicted from the others by each candidate, and compared with what
    was measured there. For a J-invariant denoiser this loss is the true error plus the
    variance of the noise, so that the candidate with the smallest loss has the smallest
    error [1]_.

    Parameters
    ----------
    estimator : JInvariantWrapper or Pipeline
        What is calibrated. A Pipeline ends in a `JInvariantWrapper`; its loss is that of
        the data which its last step sees. To keep the loss on the scale of `X`, wrap the
        pipeline instead.
    param_grid : dict or list of dict
        Parameter names and the values to try, as for `GridSearchCV`; a list of grids to
        try several denoisers.
    scoring : str or callable, default=None
        None is the squared error of the J-invariant prediction; for candidates with
        ``output="plain"`` and no `partition` it is Stein's unbiased risk estimate of that
        output, which is on the same scale: minus (true error + variance of the noise).
        "sure" takes that estimate of blends as well, and of any candidate's output,
        partition or not. "gcv", generalised cross-validation, compares outputs without knowing
        how strong the noise is: where the two choose differently, that level is in doubt.
        "neg_mean_squared_error", "neg_mean_absolute_error" and
        "neg_mean_poisson_deviance" are of the prediction, whatever the output is, and so
        is a function ``loss(target, prediction)`` that returns one loss for each entry;
        scores are minus its mean.
    n_splits : int, "auto" or None, default="auto"
        How many sets of the partition are scored, spread over them: of a grid, in all of its
        rows and columns alike, of a lattice at each phase of a checkerboard; None scores all. A
        candidate that needs masks is called once for each. "auto" means 4 (of blocks of a table
        as many as hide each sample and feature once; of a thinning all), and all if every
        candidate has an exact form, which scores all sets in one call. Few sets see a fine
        periodic pattern at few of its phases: score all of such data. Of a dask array it is the
        number of pieces that are scored, of 16384 entries each, with one set hidden in each;
        "auto" means 32.
    n_jobs : int, default=None
        How many tasks run in parallel; -1 uses all cores. The results do not depend on it,
        to the last bit. Threads are used if all candidates have denoisers that leave the
        interpreter to other threads while they work, as those of `sk_n2s.denoisers` do, and
        others declare (`sk_n2s.denoisers.declare`); otherwise processes.
        `joblib.parallel_config` chooses other backends, such as that of dask for a cluster.
    refit : bool or callable, default=True
        Whether to fit the best candidate to the data, for `transform`. A callable gets
        `cv_results_` and returns the index of the candidate to choose.
    verbose : int, default=0
        How much to print.
    pre_dispatch : int or str, default="2*n_jobs"
        How many tasks joblib prepares at a time; it bounds the memory.
    error_score : "raise" or float, default=np.nan
        The score of a candidate that fails, or whose answer is not finite or has another
        shape. It is ranked last, whatever this score is. "raise" raises the error instead.
    memory : str, path or joblib.Memory, default=None
        A folder in which evaluations are remembered: a search that was interrupted goes on
        where it was, and one with a larger grid evaluates only what is new. An evaluation
        is used again only if the data, the candidate with all its parameters, the code of its
        denoiser, that of all that this names in modules of your own, and the releases of the
        packages are the same; what is imported inside functions is imported to be looked at.
        What is not seen: environment variables, files that the denoiser reads, and names that
        are worked out when it runs, as by `getattr` or `globals`. What cannot be pickled is
        refused. Workers on other machines have to reach the folder.

    Attributes
    ----------
    cv_results_ : dict of arrays
        A table as `GridSearchCV` makes it: ``params``, ``param_<name>``,
        ``split<j>_test_score`` for each scored set, ``mean_test_score`` (over all scored
        entries, so that sets count by their size), ``std_test_score`` (between the sets),
        ``rank_test_score``, and the seconds that one call of the denoiser and one
        comparison took.
    best_estimator_ : estimator
        The best candidate, fitted to the data; only with `refit`.
    best_params_ : dict
        Its parameters.
    best_score_ : float
        Its mean score.
    best_index_ : int
        Its row of `cv_results_`; among equals, the first.
    n_splits_ : int
        The number of sets that were scored.
    refit_time_ : float
        Seconds that the fit of the best candidate took.
    estimated_mse_, estimated_psnr_ : float
        How far the output of the best estimator is from the truth. Like the following
        attributes, it is computed at the first use, and takes a call of `transform`, and
        for a plain output another call of the denoiser.
    estimated_psnr_interval_ : tuple of float
        A confidence interval of 95 %; the units are blocks of the array, since neighbours
        are dependent. Where the noise level is estimated, a standard error of 1 % of it is
        allowed for; in heavily textured data, the noise level may be further off.
    error_estimate_ : ErrorEstimate
        All of this together.
    noise_ : NoiseModel
        The noise that it rests upon: the estimator's `noise`, or an estimate.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
    >>> from sk_n2s.denoisers import median
    >>> rng = np.random.default_rng(0)
    >>> clean = np.sin(np.linspace(0, 20, 2000))
    >>> noisy = clean + 0.3 * rng.normal(size=clean.shape)
    >>> search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 4, 16, 64, 256]})
    >>> search.fit(noisy).best_params_
    {'radius': 64}
    >>> bool(np.mean((search.transform(noisy) - clean) ** 2) < 0.1 * 0.3**2)
    True
    """

    _parameter_constraints: dict = {
        **BaseSelfSupervisedSearch._parameter_constraints,
        "param_grid": [dict, list, tuple],
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        n_splits: int | str | None = "auto",
        n_jobs: int | None = None,
        refit: bool | Callable = True,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = np.nan,
        memory: Any = None,
    ):
        super().__init__(
            estimator,
            scoring=scoring,
            n_splits=n_splits,
            n_jobs=n_jobs,
            refit=refit,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            memory=memory,
        )
        self.param_grid = param_grid

    def _candidates(self) -> Iterable[dict]:
        return ParameterGrid(self.param_grid)


class SelfSupervisedRandomizedSearchCV(BaseSelfSupervisedSearch):
    """Randomized search by the self-supervised loss: candidates drawn from distributions.

    For parameters that are continuous, or for more of them than a grid can cover.

    Parameters
    ----------
    estimator : JInvariantWrapper or Pipeline
        What is calibrated, as for `SelfSupervisedSearchCV`.
    param_distributions : dict or list of dict
        Parameter names, and lists of values or distributions with a method `rvs`, such as
        those of `scipy.stats`; a list of dicts to try several denoisers.
    n_iter : int, default=10
        How many candidates are drawn.
    scoring, n_splits, n_jobs, refit, verbose, pre_dispatch, error_score, memory
        As for `SelfSupervisedSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Decides on the candidates; pass an int for the same ones at every call.

    Attributes
    ----------
    cv_results_, best_index_, best_params_, best_score_, best_estimator_
        And all others, as those of `SelfSupervisedSearchCV`.

    References
    ----------
    .. [1] J. Bergstra and Y. Bengio, "Random search for hyper-parameter optimization",
       JMLR 13:281-305, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import loguniform
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedRandomizedSearchCV
    >>> from sk_n2s.denoisers import gaussian
    >>> rng = np.random.default_rng(0)
    >>> noisy = np.sin(np.linspace(0, 20, 2000)) + 0.3 * rng.normal(size=2000)
    >>> search = SelfSupervisedRandomizedSearchCV(
    ...     JInvariantWrapper(gaussian), {"sigma": loguniform(1, 200)}, n_iter=20, random_state=0
    ... ).fit(noisy)
    >>> bool(10 < search.best_params_["sigma"] < 40)
    True
    """

    _parameter_constraints: dict = {
        **BaseSelfSupervisedSearch._parameter_constraints,
        "param_distributions": [dict, list, tuple],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    _space = "param_distributions"

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_splits: int | str | None = "auto",
        n_jobs: int | None = None,
        refit: bool | Callable = True,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = np.nan,
        memory: Any = None,
        random_state: Any = None,
    ):
        super().__init__(
            estimator,
            scoring=scoring,
            n_splits=n_splits,
            n_jobs=n_jobs,
            refit=refit,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            memory=memory,
        )
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.random_state = random_state

    def _candidates(self) -> Iterable[dict]:
        return ParameterSampler(
            self.param_distributions, self.n_iter, random_state=self.random_state
        )
