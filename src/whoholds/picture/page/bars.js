// Draws the bars of a lane, or their density, on its canvas, and says which bar is under the mouse.

const CROWDED = 1.5; // bars in view for each pixel of the width: more are drawn as density

function drawLanes() {
  for (const item of document.querySelectorAll("#lanes [role=treeitem]")) if (item.seen && item.lane) drawLane(item);
}

function drawLane({ lane, canvas }) {
  const width = canvas.clientWidth;
  const ratio = devicePixelRatio;
  canvas.width = width * ratio;
  canvas.height = lane.height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const scale = width / (view.to - view.from);
  const seen = [];
  for (let index = 0; index < lane.bars.length; index++) {
    const bar = lane.bars[index];
    if (bars.opened[bar] - bars.waited[bar] <= view.to && (bars.ended[bar] >= view.from || LEFT_OPEN.has(bars.how[bar]))) seen.push(index);
  }
  const dense = lane.step === 0 || seen.length > width * CROWDED;
  if (dense) drawDensity(pen, lane, seen, width, scale);
  else for (const index of seen) drawBar(pen, lane.bars[index], lane.row[index] * lane.step, lane.step, (at) => (at - view.from) * scale, width);
  const said = canvas.closest("li").querySelector(".dense");
  said.hidden = !dense;
  said.textContent = dense ? `${counted(seen.length, "bar")} drawn as density: pale is the most at once, strong the mean${lane.step ? "; zoom in for bars" : ""}` : "";
}

// The colours of a severity: pale for idle, strong for busy.
function inkFor(level) {
  const severity = SEVERITIES[level];
  return level > 1 ? [colours[`${severity}-idle`], colours[`${severity}-busy`]] : [colours.idle, colours.busy];
}

function drawBar(pen, bar, top, step, x, width) {
  const height = step > 4 ? step - 2 : step > 2 ? step - 0.6 : step;
  const [idle, busy] = inkFor(bars.severity[bar]);
  const from = x(bars.opened[bar]);
  const left = Math.max(from, -4);
  const right = Math.min(Math.max(x(bars.ended[bar]), from + 1.5), width + 4);
  const faint = view.finding >= 0 && !(findingsOf.get(bar) ?? []).includes(view.finding);
  pen.globalAlpha = faint ? 0.22 : 1;
  const began = x(bars.opened[bar] - bars.waited[bar]);
  if (from - began > 1) hatch(pen, Math.max(began, -4), top, from - Math.max(began, -4), height, colours.waited);
  if (isRefused(bar)) return cross(pen, from, top + height / 2, Math.max(height / 2, 2.5));
  const share = busyShare(bar);
  pen.fillStyle = idle;
  pen.fillRect(left, top, right - left, height);
  pen.fillStyle = busy;
  const calls = right - left > 3 ? data.statements[bar] : undefined;
  if (calls) {
    drawCalls(pen, bar, calls, x, top, height, left, right);
  } else if (share >= 0) {
    pen.globalAlpha *= share;
    pen.fillRect(left, top, right - left, height);
    pen.globalAlpha = faint ? 0.22 : 1;
  }
  if (bars.in_transaction[bar] && bars.idle[bar] > 0) {
    const since = Math.max(x(bars.ended[bar] - bars.idle[bar]), left);
    if (right - since > 2) hatch(pen, since, top, right - since, height, colours["warning-busy"], colours["warning-idle"]);
  }
  if (bars.severity[bar] > 1 && height > 3 && right - left > 8) {  // the severity also where a hatch covers the bar
    pen.fillStyle = busy;
    pen.fillRect(left, top, 3, height);
  }
  drawEnd(pen, bar, right, top, height, busy);
  if (bar === view.bar) {
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.strokeRect(left - 1, top - 1, right - left + 2, height + 2);
  }
  pen.globalAlpha = 1;
}

const busyShare = (bar) => (bars.busy[bar] < 0 ? -1 : Math.min(bars.busy[bar] / Math.max(bars.ended[bar] - bars.opened[bar], 1), 1));

// The last calls where they were; before them, a tint as deep as the share of the time that the earlier calls took.
function drawCalls(pen, bar, calls, x, top, height, left, right) {
  const first = calls.length ? bars.opened[bar] + calls[0][1] : bars.ended[bar];
  const before = Math.max(bars.busy[bar] - calls.reduce((sum, call) => sum + call[2], 0), 0);
  const alpha = pen.globalAlpha;
  if (before && first > bars.opened[bar]) {
    pen.globalAlpha = alpha * Math.min(before / (first - bars.opened[bar]), 1);
    pen.fillRect(left, top, Math.max(Math.min(x(first), right) - left, 0), height);
    pen.globalAlpha = alpha;
  }
  for (const [, began, lasted] of calls) {
    const from = Math.max(x(bars.opened[bar] + began), left);
    const to = Math.min(Math.max(x(bars.opened[bar] + began + lasted), from + 0.7), right);
    if (to > from) pen.fillRect(from, top, to - from, height);
  }
}

function drawEnd(pen, bar, right, top, height, ink) {
  const middle = top + height / 2;
  if (LEFT_OPEN.has(bars.how[bar])) {
    pen.fillStyle = ink;
    pen.beginPath();
    for (const part of [0, 1, 2]) pen.rect(right + 2 + part * 5, top, 3, height);
    pen.moveTo(right + 17, top - (height > 4 ? 1 : 0));
    pen.lineTo(right + 17 + Math.min(height, 8), middle);
    pen.lineTo(right + 17, top + height + (height > 4 ? 1 : 0));
    pen.fill();
  } else if (FREED.has(bars.how[bar]) && height > 3) {
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.arc(right + height / 2 + 1, middle, height / 2 - 0.5, 0, 7);
    pen.stroke();
  }
}

function hatch(pen, left, top, width, height, ink, ground) {
  if (ground) {
    pen.fillStyle = ground;
    pen.fillRect(left, top, width, height);
  }
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.strokeStyle = ink;
  pen.lineWidth = 1.2;
  pen.beginPath();
  for (let x = left - height - ((left + top) % 5); x < left + Math.min(width, 5000); x += 5) {
    pen.moveTo(x, top + height);
    pen.lineTo(x + height, top);
  }
  pen.stroke();
  pen.restore();
}

function cross(pen, x, y, size) {
  pen.strokeStyle = colours["error-busy"];
  pen.lineWidth = 1.8;
  pen.beginPath();
  pen.moveTo(x - size, y - size);
  pen.lineTo(x + size, y + size);
  pen.moveTo(x - size, y + size);
  pen.lineTo(x + size, y - size);
  pen.stroke();
  pen.globalAlpha = 1;
}

// For each pixel the most that were open at once, pale, and how many on average, strong; in the colour of its worst bar.
function drawDensity(pen, lane, seen, width, scale) {
  lane.steps ??= stepsOf(lane.bars.filter((bar) => !isRefused(bar)));
  const worst = new Uint8Array(width + 1);
  for (const index of seen) {
    const bar = lane.bars[index];
    const level = Math.max(bars.severity[bar], isRefused(bar) ? 3 : 0);
    const to = Math.min((bars.ended[bar] - view.from) * scale, width);
    for (let x = Math.max(Math.floor((bars.opened[bar] - view.from) * scale), 0); x <= to; x++) if (level > worst[x]) worst[x] = level;
  }
  const { times, counts } = lane.steps;
  const most = Math.max(lane.most, 1);
  const rise = (lane.height - 2) / most;
  let step = stepAt(times, view.from);
  for (let x = 0; x < width; x++) {
    let at = view.from + x / scale;
    const end = at + 1 / scale;
    let open = step < 0 ? 0 : counts[step];
    let highest = open;
    let sum = 0;
    while (step + 1 < times.length && times[step + 1] < end) {
      sum += open * (times[++step] - at);
      at = times[step];
      open = counts[step];
      highest = Math.max(highest, open);
    }
    sum += open * (end - at);
    const [pale, strong] = inkFor(worst[x]);
    pen.fillStyle = pale;
    pen.fillRect(x, lane.height - highest * rise, 1, highest * rise);
    pen.fillStyle = strong;
    pen.fillRect(x, lane.height - sum * scale * rise, 1, sum * scale * rise);
  }
}

// --- the mouse --------------------------------------------------------------------------------------------------------

function barAt({ lane, canvas }, event) {
  const box = canvas.getBoundingClientRect();
  const scale = (view.to - view.from) / box.width;
  const at = view.from + (event.clientX - box.left) * scale;
  const row = lane.step ? Math.floor((event.clientY - box.top) / lane.step) : -1;
  let best = -1;
  let distance = 6 * scale;
  lane.bars.forEach((bar, index) => {
    if (lane.step && lane.row[index] !== row) return;
    const away = Math.max(bars.opened[bar] - bars.waited[bar] - at, at - bars.ended[bar], 0);
    if (away < distance) [best, distance] = [bar, away];
  });
  return best;
}

function hover(item, event) {
  const bar = barAt(item, event);
  item.canvas.classList.toggle("over", bar >= 0);
  if (bar < 0) return hideTip();
  const { title, facts } = inShort(bar);
  showTip([title, ...facts], event.clientX, event.clientY + 16);
}

// The samples of the key, drawn by the same code as the bars.
function drawSamples() {
  for (const canvas of document.querySelectorAll(".key canvas")) {
    const ratio = devicePixelRatio;
    canvas.width = 30 * ratio;
    canvas.height = 12 * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const kind = canvas.dataset.sample;
    const fill = (ink, width) => {
      pen.fillStyle = ink;
      pen.fillRect(0, 2, width, 8);
    };
    if (kind === "busy" || kind === "idle") fill(colours[kind], 30);
    else if (kind === "warning" || kind === "error") fill(colours[`${kind}-idle`], 30), fill(colours[`${kind}-busy`], 15);
    else if (kind === "transaction") hatch(pen, 0, 2, 30, 8, colours["warning-busy"], colours["warning-idle"]);
    else if (kind === "waited") hatch(pen, 0, 2, 30, 8, colours.waited);
    else if (kind === "refused") cross(pen, 15, 6, 4);
    else if (kind === "open") fill(colours.busy, 6), sampleEnd(pen, "open", 6);
    else if (kind === "collected") fill(colours.busy, 18), sampleEnd(pen, "collected", 18);
  }
}

function sampleEnd(pen, how, right) {
  pen.fillStyle = pen.strokeStyle = colours.busy;
  pen.beginPath();
  if (how === "open") {
    for (const part of [0, 1, 2]) pen.rect(right + 2 + part * 5, 2, 3, 8);
    pen.moveTo(right + 17, 1);
    pen.lineTo(right + 24, 6);
    pen.lineTo(right + 17, 11);
    pen.fill();
  } else {
    pen.lineWidth = 1.5;
    pen.arc(right + 5, 6, 3.5, 0, 7);
    pen.stroke();
  }
}
