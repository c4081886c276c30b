// The stretch of time that is shown, what is chosen and what is filtered. Whoever draws is called once for each frame.

// A process that still runs is shown from where its records are complete; what was opened before begins outside.
const [FIRST, LAST] = data.live ?? [0, data.length];
const WHOLE = LAST - FIRST;
const view = { from: FIRST, to: LAST, bar: -1, finding: -1 };
const SHORTEST = 20; // microseconds
const drawers = [];
let frame = 0;

function redraw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawers.forEach((draw) => draw());
  });
}

function show(from, to) {
  const margin = WHOLE * 0.04;
  const span = Math.min(Math.max(to - from, SHORTEST), WHOLE + 2 * margin);
  view.from = Math.min(Math.max(from, FIRST - margin), LAST + margin - span);
  view.to = view.from + span;
  redraw();
}
const showAll = () => show(FIRST - WHOLE * 0.01, LAST + WHOLE * 0.035);
const zoom = (factor, at = (view.from + view.to) / 2) => show(at - (at - view.from) * factor, at + (view.to - at) * factor);
const move = (share) => show(view.from + (view.to - view.from) * share, view.to + (view.to - view.from) * share);

// Brings a stretch into view, with room around it, unless it is there already and not too small.
function bringIntoView(from, to) {
  const span = view.to - view.from;
  if (from >= view.from && to <= view.to && to - from > span / 200) return;
  const around = Math.max((to - from) * 0.6, WHOLE / 2000, SHORTEST);
  show(from - around, to + around);
}

// The wheel with Ctrl, or a pinch, zooms; a wheel turned sideways moves; a drag moves where `drags`.
function takesPointer(element, { left, drags }) {
  const at = (event) => {
    const box = element.getBoundingClientRect();
    return view.from + ((event.clientX - box.left - left()) / (box.width - left())) * (view.to - view.from);
  };
  element.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(event.deltaY * 0.004), at(event));
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) move((event.deltaX || event.deltaY) / 1000);
    else return;
    event.preventDefault();
  }, { passive: false });
  element.addEventListener("dblclick", showAll);
  if (!drags) return;
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const { from, to } = view;
    const share = (to - from) / (element.clientWidth - left());
    const drag = (moved) => {
      if (Math.abs(moved.clientX - event.clientX) < 3) return;
      element.setPointerCapture(event.pointerId);
      show(from - (moved.clientX - event.clientX) * share, to - (moved.clientX - event.clientX) * share);
    };
    const up = () => {
      element.removeEventListener("pointermove", drag);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", up);
    };
    element.addEventListener("pointermove", drag);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
  });
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
let colours = {};
function readColours() {
  const names = ["paper", "card", "ink", "soft", "rule", "faint", "idle", "busy", "warning", "warning-idle", "warning-busy", "error", "error-idle", "error-busy", "waited", "accent"];
  colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
  colours.series = [0, 1, 2, 3, 4, 5].map((index) => colour(`series-${index}`));
}
const gutter = () => parseInt(colour("gutter"), 10);
