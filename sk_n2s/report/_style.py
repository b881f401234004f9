"""What a report looks like, and how it answers: a style sheet, a script, a page around all."""

from __future__ import annotations

from ._markup import Markup, element, join

__all__ = ["page"]

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #59636e;
  --rule: #d5dbe1; --panel: #f5f7f9; --one: #0b5cad; --two: #b3500a; --mark: #e3f0fd;
  --warn: #fff3d6; --warn-ink: #5c3c00; --good: #e2f5e6; --good-ink: #0f4a1f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #e6eaee; --faint: #9aa5b1; --rule: #38414b; --panel: #1d2329;
    --one: #6cb6ff; --two: #f4a261; --mark: #17324d; --warn: #43330f; --warn-ink: #ffe2a3;
    --good: #173a22; --good-ink: #b9efc6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p, ul, dl { margin: .4rem 0; } ul { padding-left: 1.25rem; }
.faint, figcaption, caption { color: var(--faint); font-size: .875rem; text-align: left; }
figure { margin: .5rem 0 1rem; }
:focus-visible { outline: 3px solid var(--two); outline-offset: 2px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr));
  gap: .5rem; margin: 1rem 0; padding: 0; }
.facts > div { background: var(--panel); border-radius: .4rem; padding: .5rem .75rem; }
.facts dt { color: var(--faint); font-size: .8rem; }
.facts dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-size: .8rem; color: var(--faint); }
.says { border-radius: .4rem; padding: .5rem .75rem; margin: .5rem 0; }
.warning { background: var(--warn); color: var(--warn-ink); }
.good { background: var(--good); color: var(--good-ink); }
.side { display: grid; gap: 0 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.controls { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center;
  font-size: .875rem; margin: .25rem 0; }
.controls label { display: flex; gap: .5rem; align-items: center; flex: 1 1 12rem; }
.controls input { flex: 1; min-width: 5rem; accent-color: var(--one); height: 1.75rem; }
button, select { font: inherit; color: inherit; background: var(--panel);
  border: 1px solid var(--faint); border-radius: .3rem; padding: .2rem .7rem; max-width: 100%; }
.view { overflow: auto; max-height: 85vh; background: var(--panel); }
.stack { position: relative; margin: 0 auto; cursor: ew-resize; touch-action: pan-x pan-y;
  width: calc(min(100%, min(75vh, 42rem) * var(--ratio)) * var(--zoom, 1)); }
.stack img { position: absolute; inset: 0; }
img { display: block; width: 100%; height: 100%; image-rendering: pixelated; user-select: none; }
.stack .after { clip-path: inset(0 0 0 var(--at, 50%)); }
.stack .divider { position: absolute; top: 0; bottom: 0; left: var(--at, 50%); width: 3px;
  margin-left: -1.5px; background: #fff; box-shadow: 0 0 0 1px #000; pointer-events: none; }
.stack .tag { position: absolute; top: .4rem; background: #000b; color: #fff; font-size: .75rem;
  padding: 0 .4rem; border-radius: .25rem; pointer-events: none; }
.tag.left { left: .4rem; } .tag.right { right: .4rem; }
.alone { margin: 0 auto; width: min(100%, min(60vh, 26rem) * var(--ratio)); }
.scroll { overflow-x: auto; max-height: 28rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .75rem .2rem 0; border-bottom: 1px solid var(--rule);
  overflow-wrap: normal; vertical-align: top; max-width: 28rem; }
tr.chosen td { background: var(--mark); font-weight: 600; }
pre { background: var(--panel); border-radius: .4rem; padding: .75rem; overflow-x: auto;
  font-size: .85rem; white-space: pre-wrap; }
svg { display: block; width: 100%; max-width: 40rem; height: auto; }
svg text { fill: var(--ink); font-size: 11px; } svg .axis { stroke: var(--faint); fill: none; }
svg .grid { stroke: var(--rule); } svg .line { fill: none; stroke-width: 1.6; }
svg .one { stroke: var(--one); } svg .two { stroke: var(--two); }
svg .dim { stroke: var(--faint); stroke-width: 1; }
svg .bar, svg .band { fill: var(--one); fill-opacity: .35; stroke: none; }
svg .band { fill: var(--faint); fill-opacity: .25; }
svg .dot { fill: var(--one); stroke: none; } svg .chosen { fill: none; stroke-width: 2.5; }
svg .plus { fill: var(--one); } svg .minus { fill: var(--two); }
.bar-cell { display: inline-block; height: .7em; background: var(--one); margin-right: .4rem; }
[hidden] { display: none; }
@media print { .controls { display: none; } }
"""

_SCRIPT = """
for (const box of document.querySelectorAll(".compare")) {
  const at = box.querySelector(".at"), zoom = box.querySelector(".zoom");
  const view = box.querySelector(".view"), stack = box.querySelector(".stack");
  const place = () => {
    box.style.setProperty("--at", at.value + "%");
    at.setAttribute("aria-valuetext", Math.round(at.value) + " % noisy");
  };
  at.addEventListener("input", place);
  zoom.addEventListener("input", () => {
    const x = (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
    const y = (view.scrollTop + view.clientHeight / 2) / view.scrollHeight;
    box.style.setProperty("--zoom", zoom.value);
    view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
    view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
  });
  const drag = event => {
    const shown = stack.getBoundingClientRect();
    at.value = 100 * (event.clientX - shown.left) / shown.width;
    place();
  };
  stack.addEventListener("pointerdown", event => {
    stack.setPointerCapture(event.pointerId);
    drag(event);
  });
  stack.addEventListener("pointermove", event => { if (event.buttons) drag(event); });
}
for (const book of document.querySelectorAll(".book")) {
  const list = book.querySelector("select"), pages = book.querySelectorAll(".page");
  const turn = () => pages.forEach((page, i) => { page.hidden = i !== list.selectedIndex; });
  const step = by => {
    list.selectedIndex = (list.selectedIndex + by + pages.length) % pages.length;
    turn();
  };
  list.addEventListener("change", turn);
  book.querySelector(".back").addEventListener("click", () => step(-1));
  book.querySelector(".on").addEventListener("click", () => step(1));
  turn();
}
"""

#: Nothing is loaded from anywhere, whatever stands in the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, *parts: Markup | None) -> str:
    """Return a whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Markup(_CSS)),
    )
    body = element("body", element("main", *parts), element("script", Markup(_SCRIPT)))
    return "<!DOCTYPE html>\n" + join([element("html", head, body, lang="en")])
