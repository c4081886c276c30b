// The curve of connections open at once, for each database, drawn by uPlot; limits as lines, findings as marks.

const MOST_SERIES = 6;
const MOST_POOLS = 3; // whose sizes are lines
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4]];
const curve = { plot: null, series: [], most: 1, limits: [] };

// The steps of one curve: at `times`, `counts` are open from there on.
function stepsOf(list) {
  const opened = Float64Array.from(list, (bar) => bars.opened[bar]);
  const goesOn = (bar) => data.live && LEFT_OPEN.has(bars.how[bar]); // else the curve of a process that runs would end at 0
  const ended = Float64Array.from(list, (bar) => (goesOn(bar) ? Infinity : bars.ended[bar])).sort();
  const times = new Float64Array(opened.length * 2);
  const counts = new Int32Array(opened.length * 2);
  let most = 0;
  let mostAt = 0;
  for (let o = 0, e = 0, i = 0; i < times.length; i++) {
    const opens = o < opened.length && (e >= ended.length || opened[o] < ended[e]);
    times[i] = opens ? opened[o++] : ended[e++];
    counts[i] = o - e;
    if (counts[i] > most) [most, mostAt] = [counts[i], times[i]];
  }
  return { times, counts, most, mostAt };
}

// The last step at or before a time; -1 before the first.
function stepAt(times, at) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// The curve where it is shown. Where there are more steps than pixels, the highest count of each pixel.
function sampled({ times, counts }, pixels) {
  const before = stepAt(times, view.from);
  const last = stepAt(times, view.to);
  const xs = [view.from];
  const ys = [before < 0 ? 0 : counts[before]];
  const width = last - before > pixels ? (view.to - view.from) / pixels : 0;
  for (let i = before + 1; i <= last; i++) {
    const end = view.from + (Math.floor((times[i] - view.from) / width) + 1) * width;
    let highest = counts[i];
    const began = width ? end - width : times[i];
    while (width && i + 1 <= last && times[i + 1] < end) highest = Math.max(highest, counts[++i]);
    xs.push(Math.max(began, view.from));
    ys.push(highest);
    if (counts[i] !== highest && !(times[i + 1] < end + width)) {
      xs.push(end);
      ys.push(counts[i]);
    }
  }
  xs.push(view.to);
  ys.push(last < 0 ? 0 : counts[last]);
  return [xs, ys];
}

function prepareCurve() {
  const of = new Map(data.databases.map((database) => [database.name, { database, open: [], held: [] }]));
  for (let i = 0; i < bars.count; i++) {
    if (!bars.shown[i]) continue;
    const group = of.get(bars.database[i]);
    if (isConnection(i)) group.open.push(i);
    if (isHeld(i)) group.held.push(i);
  }
  const groups = [...of.values()].map((group) => {
    const lends = group.held.some((bar) => bars.kind[bar] !== CONNECTION);
    const open = stepsOf(group.open);
    return { ...group, name: text(group.database.name), open, held: lends ? stepsOf(group.held) : null, most: open.most };
  });
  for (const group of groups) group.most = Math.max(group.open.most, group.held?.most ?? 0);
  groups.sort((one, other) => other.most - one.most);
  curve.more = groups.length > MOST_SERIES ? groups.length - MOST_SERIES : 0;
  curve.series = [];
  groups.slice(0, MOST_SERIES).forEach((group, index) => {
    if (!group.most && index) return;
    if (group.open.most || !group.held) curve.series.push({ name: group.name, means: "open", steps: group.open, hue: index, fill: index === 0 });
    if (group.held) curve.series.push({ name: group.name, means: "held by the program", steps: group.held, hue: index, dashed: true });
  });
  for (const series of curve.series) series.label = `${series.name}: ${series.means}, at most ${grouped(series.steps.most)}`;
  curve.most = Math.max(1, ...curve.series.map((series) => series.steps.most));
  curve.limits = limitsOf(groups.slice(0, MOST_SERIES).filter((group) => group.most));
}

// The limits that are known: the server's, and otherwise the number from which whoholds says too-many-at-once.
function limitsOf(groups) {
  const first = (name) => Math.max(0, ...data.processes.map((process) => parseInt(process.limits[name], 10) || 0));
  const server = first("WHOHOLDS_SERVER_LIMIT");
  const limits = groups
    .map((group) => ({ count: group.database.limit || server, label: `${group.name} allows` }))
    .filter((limit) => limit.count);
  if (limits.length === 0 && !data.pools.some((pool) => pool.max) && first("WHOHOLDS_TOO_MANY")) limits.push({ count: first("WHOHOLDS_TOO_MANY"), label: "too-many-at-once from", soft: true });
  const pools = data.pools.filter((pool) => pool.max).sort((one, other) => other.wanted - one.wanted);
  for (const pool of pools.slice(0, MOST_POOLS)) limits.push({ count: pool.max, label: `the pool of ${shortPlace(pool.line)} lends`, pool: true });
  const seen = new Map(limits.map((limit) => [limit.count, limit]));
  return [...seen.values()];
}

const SPLITS = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

// The axis counts seconds from the start of a run, and for a process that still runs from a full hour.
const ZERO = data.live ? LAST - (clock(LAST).getTime() % 3_600_000) * 1000 : 0;
const toAxis = (micros) => (micros - ZERO) / 1e6;
const fromAxis = (seconds) => seconds * 1e6 + ZERO;

function axisTime(seconds, step) {
  if (data.live) return clockTime(fromAxis(seconds), step < 1 ? 3 : 0).slice(0, step < 60 ? undefined : -3);
  if (step >= 60) return `${Math.floor(seconds / 3600)}:${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} h`;
  if (step >= 1) return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")} min`;
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return digits <= 2 ? `${seconds.toFixed(digits)} s` : digits <= 5 ? `${(seconds * 1e3).toFixed(digits - 3)} ms` : `${(seconds * 1e6).toFixed(0)} µs`;
}

function drawCurve() {
  const box = byId("plot");
  const width = box.clientWidth;
  const key = `${width} ${document.documentElement.dataset.theme} ${curve.series.map((one) => one.label)}`;
  if (curve.key !== key) {
    curve.plot?.destroy();
    curve.plot = newPlot(box, width);
    curve.key = key;
  }
  const parts = curve.series.map((series) => sampled(series.steps, Math.max(width - gutter(), 100)));
  const scaled = parts.map(([xs, ys], index) => [xs.map(toAxis), index ? withoutZeros(ys) : ys]);
  curve.plot.setData(scaled.length > 1 ? uPlot.join(scaled) : scaled[0] ?? [[0], []], false);
  curve.plot.batch(() => {
    curve.plot.setScale("x", { min: toAxis(view.from), max: toAxis(view.to) });
    curve.plot.setScale("y", { min: 0, max: heightOf() });
  });
  placeMarks();
}

// Zeros as gaps, except where a curve rises or falls: only the first curve has a base line.
const withoutZeros = (ys) => ys.map((y, index) => (y || ys[index - 1] ? y : null));

// Limits within reach are in the picture; one far above is said in the legend alone.
const inReach = (limit) => limit.count <= curve.most * 2.5 + 4;
const heightOf = () => Math.max(curve.most, ...curve.limits.filter(inReach).map((limit) => limit.count)) * 1.3;

function newPlot(box, width) {
  const stepped = uPlot.paths.stepped({ align: 1 });
  const axis = { stroke: colours.soft, grid: { stroke: colours.faint, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const series = curve.series.map((one) => ({
    stroke: colours.series[one.hue],
    fill: one.fill ? `${colours.series[one.hue]}2e` : undefined,
    width: one.dashed ? 1.5 : 2,
    dash: one.dashed ? [4, 3] : DASHES[one.hue],
    paths: stepped,
    points: { show: false },
  }));
  return new uPlot({
    width,
    height: box.clientHeight,
    padding: [0, 0, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    select: { show: true, left: 0, top: 0, width: 0, height: 0 },
    scales: { x: { time: false, auto: false }, y: { auto: false } },
    axes: [
      { ...axis, incrs: SPLITS, space: 70, size: 28, values: (_, splits, __, ___, step) => splits.map((split) => axisTime(split, step)) },
      { ...axis, size: gutter(), space: 34, values: (_, splits) => splits.map(grouped), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000] },
    ],
    series: [{}, ...series],
    hooks: {
      draw: [drawLimits],
      setSelect: [(plot) => {
        if (plot.select.width > 4) show(fromAxis(plot.posToVal(plot.select.left, "x")), fromAxis(plot.posToVal(plot.select.left + plot.select.width, "x")));
        if (plot.select.width) plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
      setCursor: [(plot) => (plot.cursor.left >= 0 ? tipOfCurve(plot) : hideTip())],
    },
  }, [[0], ...curve.series.map(() => [0])], box);
}

function drawLimits(plot) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  for (const limit of curve.limits.filter(inReach)) {
    const y = plot.valToPos(limit.count, "y", true);
    ctx.strokeStyle = ctx.fillStyle = limit.soft ? colours.soft : limit.pool ? colours.accent : colours.error;
    ctx.lineWidth = (limit.soft ? 1 : 1.5) * ratio;
    ctx.setLineDash([6 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    const label = `${limit.label} ${grouped(limit.count)}`;
    const right = bbox.left + bbox.width - 6 * ratio;
    const ink = ctx.fillStyle;
    ctx.fillStyle = colours.card; // the label is readable before the curve
    ctx.globalAlpha = 0.85;
    ctx.fillRect(right - ctx.measureText(label).width - 3 * ratio, y - 17 * ratio, ctx.measureText(label).width + 6 * ratio, 15 * ratio);
    ctx.globalAlpha = 1;
    ctx.fillStyle = ink;
    ctx.fillText(label, right, y - 5 * ratio);
  }
  ctx.restore();
}

function tipOfCurve(plot) {
  const at = fromAxis(plot.posToVal(plot.cursor.left, "x"));
  const lines = curve.series.map((series) => {
    const step = stepAt(series.steps.times, at);
    return `${grouped(step < 0 ? 0 : series.steps.counts[step])} ${series.means}, ${series.name}`;
  });
  const box = plot.over.getBoundingClientRect();
  showTip([when(at), ...lines], box.left + plot.cursor.left, box.top + 30);
}

function placeMarks() {
  const over = curve.plot.over;
  over.querySelectorAll(".mark").forEach((mark) => mark.remove());
  const moments = shownFindings()
    .map((finding) => ({ finding, at: momentOf(data.findings[finding]) }))
    .filter(({ at }) => at >= view.from && at <= view.to)
    .map((one) => ({ ...one, x: ((one.at - view.from) / (view.to - view.from)) * over.clientWidth }))
    .sort((one, other) => one.x - other.x);
  const groups = [];
  for (const one of moments) {
    const last = groups[groups.length - 1];
    if (last && one.x - last.x < 24) last.findings.push(one.finding);
    else groups.push({ x: one.x, findings: [one.finding] });
  }
  for (const group of groups) over.append(markOf(group, over));
}

function markOf(group, over) {
  const worst = group.findings.reduce((one, other) => (SEVERITIES.indexOf(data.findings[other].severity) > SEVERITIES.indexOf(data.findings[one].severity) ? other : one));
  const { severity } = data.findings[worst];
  const rules = group.findings.map((finding) => text(data.findings[finding].rule)).join(", ");
  const sign = group.findings.length > 1 ? String(group.findings.length) : severity === "info" ? "i" : "!";
  const chosen = () => {
    const next = group.findings[(group.findings.indexOf(view.finding) + 1) % group.findings.length];
    chooseFinding(next, { scroll: true });
  };
  const mark = make("button", { type: "button", class: `mark ${severity}`, "aria-label": `${counted(group.findings.length, "finding")}: ${rules}`, onclick: chosen }, sign);
  mark.style.left = `${Math.min(Math.max(group.x, 11), over.clientWidth - 11)}px`;
  mark.style.setProperty("--drop", `${over.clientHeight - 21}px`);
  mark.addEventListener("mousedown", (event) => event.stopPropagation());
  mark.addEventListener("pointerenter", (event) => showTip([rules, ...group.findings.slice(0, 3).map((finding) => text(data.findings[finding].message))], event.clientX, event.clientY + 16));
  mark.addEventListener("pointerleave", hideTip);
  return mark;
}

function drawLegend() {
  const spans = curve.series.map((series) => {
    const name = series.name.replace(/^\w+:\/\/(\/(?=\/))?/, "");
    const span = make("span", { class: series.dashed ? "dashed" : undefined, title: series.label }, series.dashed ? "" : make("b", {}, name), `${series.means}, at most ${grouped(series.steps.most)}`);
    span.style.setProperty("--colour", `var(--series-${series.hue})`);
    return span;
  });
  const far = curve.limits.filter((limit) => !inReach(limit)).map((limit) => `${limit.label} ${grouped(limit.count)}`);
  const more = curve.more ? [`and ${counted(curve.more, "more database")}`] : [];
  byId("legend").replaceChildren(...spans, ...[...far, ...more].map((said) => make("em", {}, said)));
  byId("plot").setAttribute("aria-label", `Connections open at once, over ${duration(WHOLE)}. ${curve.series.map((one) => one.label).join(". ")}. ${counted(shownFindings().length, "finding")}.`);
}
