import base64
import pickle
import re
from html.parser import HTMLParser
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_n2s import (
    AutoDenoiser,
    JInvariantWrapper,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
)
from sk_n2s.denoisers import gaussian, median
from sk_n2s.plotting import DenoisingDisplay, NoiseDisplay, ResidualDisplay
from sk_n2s.report import report_of
from sk_n2s.report._markup import Markup, element
from sk_n2s.report._pages import pages_of
from sk_n2s.report._pictures import data_uri, grey_limits, reduced
from sk_n2s.report._residual import residual_of
from sk_n2s.report._short import short_form
from sk_n2s.report._shown import shown_of
from sk_n2s.report._signal_levels import levels_of
from sk_n2s.report._svg import ticks


def _search(X, denoiser=gaussian, **params):
    grid = {"sigma": [0.5, 1.0, 2.0]} if denoiser is gaussian else {"radius": [1, 2, 3]}
    return SelfSupervisedSearchCV(JInvariantWrapper(denoiser, **params), grid).fit(X)


@pytest.fixture(scope="module")
def search(noisy):
    return _search(noisy, median)


@pytest.fixture(scope="module")
def auto(noisy):
    return AutoDenoiser("fast").fit(noisy[:64, :64])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


class _Page(HTMLParser):
    """What a browser would see: elements that are opened and closed, their attributes, texts."""

    VOID = frozenset({"meta", "img", "input"})

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.seen if name == tag]

    @property
    def text(self):
        return " ".join(self.texts)


def _pixels(uri):
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_numbers_are_those_of_the_search(search):
    page = _Page(search.report().html)
    low, high = search.estimated_psnr_interval_
    assert f"{search.estimated_psnr_:.2f} dB" in page.text
    assert f"95 %: {low:.2f} to {high:.2f} dB" in page.text
    assert str(search.noise_) in page.text
    for loss in -search.cv_results_["mean_test_score"]:
        assert f"{loss:.6g}" in page.texts
    chosen = re.search(r'<tr class="chosen"><td>(.*?)</td>', search.report().html)
    assert chosen[1] == str(search.best_params_["radius"])
    for text in search.error_estimate_.assumptions:
        assert text in page.texts


def test_numbers_are_those_of_the_race(auto):
    page = _Page(auto.report().html)
    for name, score in auto.scores_.items():
        assert name in page.texts
        assert f"{score:.6g}" in page.texts
    for weight in auto.weights_.values():
        assert f"{100 * weight:.0f} %" in page.texts
    for line in auto.summary_.splitlines():
        assert line in page.texts


def test_images_are_the_data_on_the_same_grey_values(search, noisy):
    page = _Page(search.report().html)
    before, after, residual = (_pixels(image["src"]) for image in page.all("img"))
    denoised = search.transform(noisy)
    low, high = grey_limits(noisy, denoised)
    for shown, values in ((before, noisy), (after, denoised)):
        expected = np.clip((values - low) / (high - low), 0, 1) * 255
        assert np.abs(shown - expected).max() <= 0.5 + 1e-9
    z = (noisy - denoised) / search.noise_.level
    assert np.abs(residual - np.clip((z + 4) / 8, 0, 1) * 255).max() <= 0.5 + 1e-6


def test_one_file_that_loads_nothing_and_runs_nothing_of_the_user(noisy):
    def strange(X, word="x"):
        return ndimage.gaussian_filter(X, 1.0)

    evil = '</script><script>alert("1")</script><img src=x onerror=alert(2)>'
    grid = {"word": [evil, "plain & simple"]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(strange), grid).fit(noisy[:48, :48])
    report = search.report()
    page = _Page(report.html)
    assert [attrs for attrs in page.all("script")] == [{}]
    assert all("onerror" not in attrs for _, attrs in page.seen)
    assert evil in page.text  # as a text
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in page.all("img"))
    assert not page.all("link")
    assert not page.all("iframe")
    assert "http://" not in report.html
    assert "https://" not in report.html
    assert "default-src 'none'" in str(page.all("meta"))
    framed = _Page(report._repr_html_())
    assert framed.all("iframe")[0]["srcdoc"] == report.html


def test_what_people_need_who_do_not_see_or_have_no_mouse(search, auto):
    for report in (search.report(), auto.report()):
        page = _Page(report.html)
        assert all(attrs.get("alt") for attrs in page.all("img"))
        assert all(attrs.get("aria-label") for attrs in page.all("svg"))
        assert page.all("html") == [{"lang": "en"}]
        ranges = [attrs["class"] for attrs in page.all("input") if attrs["type"] == "range"]
        assert ranges == ["at", "zoom"]
        assert "prefers-color-scheme: dark" in report.html
        assert ":focus-visible" in report.html
        assert "width=device-width" in report.html


def test_a_large_image_is_shown_smaller_with_a_detail_in_full(rng):
    X = rng.normal(size=(2048, 2048)).astype(np.float32)
    X[:1024] += 3
    wrapper = JInvariantWrapper(gaussian, sigma=1.0, noise=1.0).fit(X)
    report = report_of(wrapper, X)
    assert len(report.html) < 5e6
    page = _Page(report.html)
    shapes = [_pixels(image["src"]).shape for image in page.all("img")]
    assert shapes == [(1024, 1024)] * 2 + [(320, 320)] * 2 + [(1024, 1024)]


@pytest.mark.parametrize(
    ("shape", "params", "n_pages"),
    [
        ((40, 40, 3), {"channel_axis": -1}, 4),  # the colours, and each alone
        ((2, 40, 40), {"channel_axis": 0}, 2),
        ((9, 40, 40), {"batch_axis": 0}, 5),
        ((12, 24, 24), {}, 7),  # five slices, and the middle ones of the other axes
        ((6, 2, 10, 16, 16), {"batch_axis": 0, "channel_axis": 1}, 6),
        ((3, 4, 5, 6), {}, None),
        ((500,), {}, 1),
        ((1, 300), {}, 1),
        ((4, 300), {"batch_axis": 0}, 4),
    ],
)
def test_each_kind_of_data(shape, params, n_pages, rng):
    X = ndimage.gaussian_filter(rng.normal(size=shape), 2.0) * 5 + rng.normal(size=shape)
    search = _search(X, **params)
    page = _Page(search.report().html)
    assert " × ".join(map(str, shape)) in page.texts
    pages = [attrs for attrs in page.all("div") if attrs.get("class") == "page"]
    assert len(pages) == n_pages or n_pages is None
    assert sum("hidden" not in attrs for attrs in pages) == 1
    is_signal = sum(n > 1 for a, n in enumerate(shape) if a != params.get("batch_axis")) == 1
    assert bool(page.all("img")) != is_signal
    shown = shown_of(search)
    for each in pages_of(shown):
        part = each.of(shown.before)
        assert part.ndim == len(each.axes) + (each.colour is not None)
        assert np.isin(part, X).all()
        residual = part - each.of(shown.after)
        found = each.of_residual(residual_of(shown))
        assert found.shape == part.shape
        np.testing.assert_allclose(np.corrcoef(found.ravel(), residual.ravel())[0, 1], 1)


def test_a_table_is_a_heat_map_without_neighbours(rng):
    X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 20)) + rng.normal(size=(80, 20)) / 2
    report = AutoDenoiser("fast", kind="table").fit(X).report()
    page = _Page(report.html)
    assert [_pixels(image["src"]).shape for image in page.all("img")] == [(80, 20)] * 3
    assert "Autocorrelation" not in report.html
    assert "in units of the variance of the noise" in page.text


def test_correlated_noise_that_was_trusted_gives_a_warning(clean, rng):
    noise = 0.3 * ndimage.uniform_filter(rng.normal(size=clean.shape), 3)
    with pytest.warns(match="correlated|No candidate"):
        search = _search(clean + noise, median)
    found = residual_of(shown_of(search))
    assert not found.looks_like_noise
    page = _Page(search.report().html)
    assert "the part of the noise that neighbours share is still in the output" in page.text
    assert "looks like noise" not in page.text


def test_structure_in_the_residual_gives_a_warning(clean, rng):
    X = clean[:96, :96] + rng.normal(scale=0.02, size=(96, 96))
    wrapper = JInvariantWrapper(gaussian, sigma=4.0, noise=0.02, output="plain").fit(X)
    shown = shown_of(wrapper, X)
    found = residual_of(shown)
    text = " ".join(found.findings)
    assert "The residual is not white" in text
    assert "times as large as the noise" in text
    shifted = JInvariantWrapper(lambda X: X - 0.01, noise=0.02, output="plain").fit(X)
    found = residual_of(shown_of(shifted, X))
    assert found.findings[0].endswith("0.5 standard deviations of the noise below the data.")
    nothing = JInvariantWrapper(gaussian, sigma=1e-3, noise=0.02, output="plain").fit(X)
    assert "Nothing was taken away" in residual_of(shown_of(nothing, X)).findings[0]


def test_noise_alone_is_white_and_centred(rng):
    X = rng.normal(size=(64, 64))
    shown = shown_of(JInvariantWrapper(gaussian, sigma=8.0, noise=1.0).fit(X), X)
    found = residual_of(shown)
    assert found.looks_like_noise
    assert abs(found.deviation - 1) < 0.05
    centre = found.autocorrelation.shape[0] // 2
    assert found.autocorrelation[centre, centre] == 1
    z = found.values - found.values.mean()
    by_hand = np.mean(z[:, 1:] * z[:, :-1]) / np.mean(z**2)
    np.testing.assert_allclose(found.autocorrelation[centre, centre + 1], by_hand, atol=1e-10)
    levels = levels_of(shown)
    np.testing.assert_array_equal(levels.model, 1.0)
    np.testing.assert_allclose(levels.seen, 1.0, atol=0.3)


def test_data_that_are_gone_have_to_be_given(search, noisy, auto):
    again = pickle.loads(pickle.dumps(search))
    assert again.report(noisy).html == search.report().html
    with pytest.raises(ValueError, match="X=None, and this SelfSupervisedSearchCV does not"):
        again.report()
    light = pickle.loads(pickle.dumps(auto))
    with pytest.raises(ValueError, match="X=None, and this AutoDenoiser does not remember"):
        light.report()
    assert str(auto.error_estimate_) in light.report(noisy[:64, :64]).html
    with pytest.raises(NotFittedError):
        AutoDenoiser().report()
    with pytest.raises(NotFittedError):
        SelfSupervisedSearchCV(JInvariantWrapper(median), {}).report()
    unrefitted = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1]}, refit=False)
    with pytest.raises(ValueError, match="refit=True"):
        unrefitted.fit(noisy).report()


def test_data_that_were_written_into_are_not_shown(noisy):
    X = noisy[:48, :48].copy()
    auto = AutoDenoiser("fast").fit(X)
    assert auto.report().html
    X[0] = 0
    with pytest.raises(ValueError, match="written into"):
        auto.report()


def test_data_block_by_block(noisy):
    da = pytest.importorskip("dask.array")
    report = _search(da.from_array(noisy, chunks=64), median).report()
    assert "128 × 128" in report.html


def test_other_estimators(noisy):
    X = noisy[:64, :64]
    pipeline = make_pipeline(StandardScaler(), JInvariantWrapper(median))
    search = SelfSupervisedSearchCV(pipeline, {"jinvariantwrapper__radius": [1, 2]}).fit(X)
    assert "as the last step of the pipeline sees them" in search.report().html
    race = SelfSupervisedHalvingSearchCV(JInvariantWrapper(gaussian), {"sigma": [0.5, 1, 4]})
    assert "n_resources" in race.fit(X).report().html
    pair = [("a", JInvariantWrapper(median)), ("b", JInvariantWrapper(gaussian))]
    stacker = SelfSupervisedStacker(pair).fit(X)
    assert f"{-stacker.scores_['a']:.6g}" in report_of(stacker, X).html
    with pytest.raises(ValueError, match="keeps none"):
        report_of(stacker)


def test_entries_that_were_not_measured_have_a_colour_of_their_own(rng):
    X = rng.normal(size=(32, 32))
    X[3, 4] = np.nan
    page = _Page(_search(X).report().html)
    before = Image.open(BytesIO(base64.b64decode(page.all("img")[0]["src"].partition(",")[2])))
    assert before.convert("RGB").getpixel((4, 3)) == (200, 0, 160)
    assert "magenta" in page.text
    assert "1" in page.texts


def test_the_lines_of_code_do_it_again(search, noisy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("noisy.npy", noisy)
    page = _Page(search.report().html)
    lines = next(text for text in page.texts if "import numpy" in text)
    namespace = {}
    exec(lines, namespace)
    np.testing.assert_array_equal(namespace["denoised"], search.transform(noisy))
    assert (tmp_path / "report.html").exists()
    assert np.__version__ in page.texts


def test_a_file_is_written_whole_or_not_at_all(search, tmp_path, monkeypatch):
    report, path = search.report(), tmp_path / "report.html"
    report.save(path)
    assert path.read_text(encoding="utf-8") == report.html
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        report.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError, match="create it first"):
        report.save(tmp_path / "none" / "report.html")
    assert "Report of SelfSupervisedSearchCV" in repr(report)


def test_markup_is_escaped_once():
    inner = element("b", "<&>", title='"')
    assert inner == '<b title="&quot;">&lt;&amp;&gt;</b>'
    assert isinstance(inner, Markup)
    assert element("p", inner, None, hidden=False) == f"<p>{inner}</p>"


def test_means_of_blocks_leave_out_what_is_missing(rng):
    X = rng.normal(size=(7, 5))
    X[:2, :2] = np.nan
    X[0, 2] = np.nan
    small = reduced(X, (2, 2))
    assert small.shape == (4, 3)
    assert np.isnan(small[0, 0])
    np.testing.assert_allclose(small[0, 1], np.nanmean(X[:2, 2:4]))
    np.testing.assert_allclose(small[3, 2], X[6, 4])
    assert _pixels(data_uri(np.dstack([X] * 3), -1, 1)).shape == (7, 5, 3)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (1e-9, 3e-9), (12345, 12346)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 11
    assert low - 1e-12 * abs(low) <= min(found)
    assert max(found) <= high * (1 + 1e-12)
    assert all(len(f"{v:.6g}") <= 9 for v in found)


def test_logarithmic_ticks():
    assert ticks(0.01, 100, is_log=True) == [0.01, 0.1, 1, 10, 100]


def test_notebooks_show_what_was_found_below_the_diagram(noisy, auto, monkeypatch):
    search = _search(noisy)
    assert search.best_params_ == {"sigma": 1.0}
    assert "Estimated PSNR" not in short_form(search)  # nothing is computed for it
    shown = search._repr_html_()
    bundle = search._repr_mimebundle_()
    found = [text.partition("sk-n2s-short")[2] for text in (shown, bundle["text/html"])]
    assert found[0] == found[1] != "" and bundle["text/plain"] == repr(search)
    assert "<dd>sigma=1, of 3 candidates</dd>" in shown
    assert f"<dd>{-search.best_score_:.6g}</dd>" in shown and "Beware" not in shown
    low, high = search.estimated_psnr_interval_
    assert f"{low:.1f} to {high:.1f} dB" in short_form(search)
    shown = auto._repr_html_()
    assert "sk-container" in shown and str(auto.noise_) in shown
    images = re.findall(r"data:image/png;base64,([^\"]+)", shown)
    pictures = [np.asarray(Image.open(BytesIO(base64.b64decode(i)))) for i in images]
    assert [p.shape for p in pictures] == [(64, 64)] * 2
    assert np.std(np.diff(pictures[0].astype(float))) > 2 * np.std(
        np.diff(pictures[1].astype(float))
    )
    # Nothing of it where there is nothing to show, and no error whatever happens.
    plain = AutoDenoiser("fast")._repr_html_()
    assert "sk-n2s-short" not in plain and "sk-container" in plain
    again = pickle.loads(pickle.dumps(auto))._repr_html_()
    assert "data:image/png" not in again and str(auto.noise_) in again
    monkeypatch.setattr("sk_n2s.report._short._of_race", lambda auto: 1 / 0)
    assert "sk-n2s-short" not in auto._repr_html_()


def test_a_best_value_at_the_end_of_those_that_were_tried_is_told(noisy):
    grid = {"sigma": [0.2, 0.3, 0.4]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), grid).fit(noisy)
    said = "sigma=0.4 is the last value that was tried: try larger ones."
    assert said in search.report().html and said in search._repr_html_()


def test_displays(search, noisy):
    display = DenoisingDisplay.from_estimator(search)
    np.testing.assert_array_equal(display.before, noisy)
    np.testing.assert_array_equal(display.axes_[1].images[0].get_array(), search.transform(noisy))
    assert display.axes_[0].images[0].get_clim() == display.axes_[1].images[0].get_clim()
    _, axes = plt.subplots(1, 3)
    assert list(display.plot(ax=axes).axes_) == list(axes)
    _, ax = plt.subplots()
    assert display.plot(ax=ax).figure_ is ax.figure
    with pytest.raises(ValueError, match="ax holds 3 axes"):
        ResidualDisplay.from_estimator(search, ax=axes)
    with pytest.raises(ValueError, match="page=1 must be"):
        DenoisingDisplay.from_estimator(search, page=1)

    residual = ResidualDisplay.from_estimator(search)
    lines = residual.axes_[1].lines
    np.testing.assert_array_equal(lines[0].get_ydata()[0], 1)
    assert len(lines) == 2
    noise = NoiseDisplay.from_estimator(search)
    np.testing.assert_allclose(noise.ax_.lines[1].get_ydata(), search.noise_.level)
    assert noise.ax_.figure is noise.figure_
    with pytest.raises(NotFittedError):
        NoiseDisplay.from_estimator(AutoDenoiser())


def test_displays_of_signals_tables_and_colours(rng):
    signal = _search(rng.normal(size=300))
    assert len(DenoisingDisplay.from_estimator(signal).axes_[0].lines) == 1
    table = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 10)) + rng.normal(size=(40, 10))
    found = ResidualDisplay.from_estimator(AutoDenoiser("fast", kind="table").fit(table))
    assert len(found.axes_) == 1
    colours = _search(rng.normal(size=(24, 24, 3)), channel_axis=-1)
    shown = DenoisingDisplay.from_estimator(colours).axes_[0].images[0].get_array()
    assert shown.shape == (24, 24, 3)
