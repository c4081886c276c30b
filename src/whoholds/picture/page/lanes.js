// A lane for each opening line, which unfolds into one for each owner, with a bar for each handle.

const STAIRCASE = 160; // bars that each have a row of their own; of more, those that follow one another share a row
const ROWS = 200; // rows of a lane that are told apart; what is higher is drawn as density
const MOST_OWNERS = 100;
const MOST_LANES = 300;
const lanes = { all: [], unfolded: new Set(), folded: new Set(), byProcess: false };

function laneOf(key, list, label) {
  const known = list.filter((bar) => bars.busy[bar] >= 0);
  const sum = (values, of) => values.reduce((total, bar) => total + of(bar), 0);
  const held = list.filter((bar) => !isRefused(bar));
  const lane = {
    ...label,
    key,
    bars: list,
    severity: list.reduce((worst, bar) => Math.max(worst, bars.severity[bar], isRefused(bar) ? 3 : 0), 0),
    opened: held.length,
    refused: list.length - held.length,
    most: mostAtOnce(held),
    longest: list.reduce((longest, bar) => Math.max(longest, bars.ended[bar] - bars.opened[bar]), 0),
    busy: known.length ? sum(known, (bar) => bars.busy[bar]) / Math.max(sum(known, (bar) => bars.ended[bar] - bars.opened[bar]), 1) : -1,
    leftOpen: list.filter((bar) => LEFT_OPEN.has(bars.how[bar])).length,
  };
  return lane;
}

// The row of each bar: its own, or the first that is free again.
function giveRows(lane) {
  if (lane.row) return;
  lane.row = new Int32Array(lane.bars.length);
  if (lane.bars.length <= STAIRCASE) {
    lane.row.forEach((_, index) => (lane.row[index] = index));
    lane.rows = lane.bars.length;
  } else {
    const free = []; // ends of the rows, the earliest first by a scan that starts where the last one found room
    lane.bars.forEach((bar, index) => {
      const began = bars.opened[bar] - bars.waited[bar];
      let row = free.findIndex((end) => end <= began);
      if (row < 0) row = free.length < 5000 ? free.length : 0;
      free[row] = bars.ended[bar];
      lane.row[index] = row;
    });
    lane.rows = free.length;
  }
  lane.step = lane.rows > ROWS ? 0 : Math.max(2, Math.min(13, Math.floor(300 / lane.rows)));
  lane.height = lane.step ? Math.max(26, lane.rows * lane.step) : 140;
}

function gatherLanes() {
  const groups = new Map();
  for (let i = 0; i < bars.count; i++) {
    if (!bars.shown[i]) continue;
    const sort = isPools(i) ? "pool" : bars.kind[i] === CURSOR ? "cursor" : "";
    const key = `${lanes.byProcess ? bars.process[i] : 0} ${openedAt(i)} ${sort}`;
    groups.has(key) ? groups.get(key).push(i) : groups.set(key, [i]);
  }
  lanes.all = [...groups].map(([key, list]) => {
    const [process, , sort] = key.split(" ");
    return laneOf(key, list, { line: openedAt(list[0]), process: Number(process), sort });
  });
  const rank = (lane) => (lane.sort ? 0 : 10) + lane.severity;
  lanes.all.sort((one, other) => one.process - other.process || rank(other) - rank(one) || other.most - one.most || one.bars[0] - other.bars[0]);
}

function ownersOf(lane) {
  const groups = new Map();
  for (const bar of lane.bars) {
    const key = `${bars.process[bar]} ${bars.owner[bar]} ${spawnedAt(bar)}`;
    groups.has(key) ? groups.get(key).push(bar) : groups.set(key, [bar]);
  }
  return [...groups].map(([key, list]) => laneOf(`${lane.key} ${key}`, list, { line: lane.line, owner: bars.owner[list[0]], spawned: spawnedAt(list[0]), process: lane.process, sort: lane.sort }));
}

// --- the list ---------------------------------------------------------------------------------------------------------

function listLanes() {
  gatherLanes();
  const list = byId("lanes");
  watcher?.disconnect();
  watcher = new IntersectionObserver((entries) => {
    entries.forEach((entry) => (entry.target.seen = entry.isIntersecting));
    redraw();
  }, { rootMargin: "200px" });
  const items = [];
  let process = -1;
  for (const lane of lanes.all.slice(0, MOST_LANES)) {
    if (lanes.byProcess && lane.process !== process) {
      process = lane.process;
      items.push(groupItem(process));
    }
    if (lanes.byProcess && lanes.folded.has(process)) continue;
    items.push(laneItem(lane, 1));
    if (lanes.unfolded.has(lane.key)) {
      lane.owners ??= ownersOf(lane);
      items.push(...lane.owners.slice(0, MOST_OWNERS).map((owner) => laneItem(owner, 2)));
      if (lane.owners.length > MOST_OWNERS) items.push(make("li", { role: "none", class: "more" }, make("p", { class: "label" }, `and ${counted(lane.owners.length - MOST_OWNERS, "more owner")}`)));
    }
  }
  if (lanes.all.length > MOST_LANES) items.push(make("li", { role: "none", class: "more" }, make("p", { class: "label" }, `and ${counted(lanes.all.length - MOST_LANES, "more line")}, in the table below`)));
  list.replaceChildren(...items);
  const treeItems = list.querySelectorAll("[role=treeitem]");
  treeItems[0]?.setAttribute("tabindex", "0");
  byId("nothing").hidden = items.length > 0;
}
let watcher = null;

function groupItem(process) {
  const { parent, host, pid } = data.processes[process];
  const forked = data.processes.find((other) => other.pid === parent && other.host === host && other.pid !== pid);
  const fold = () => {
    lanes.folded.has(process) ? lanes.folded.delete(process) : lanes.folded.add(process);
    listLanes();
    redraw();
  };
  const open = !lanes.folded.has(process);
  const item = make("li", { class: "group", role: "treeitem", "aria-level": 1, "aria-expanded": String(open), tabindex: -1, "data-key": `process ${process}` },
    make("div", { class: "label" }, make("button", { class: "fold", type: "button", tabindex: -1, "aria-hidden": "true", onclick: fold }, open ? "▾" : "▸"),
      make("span", { class: "place" }, `${processName(process)}${host ? ` on ${host}` : ""}`),
      forked ? make("span", { class: "what" }, `started by process ${parent}`) : null));
  item.fold = fold;
  return item;
}

function laneItem(lane, level) {
  const owners = level === 1;
  const title = owners ? shortPlace(lane.line) : text(lane.owner) || "an unknown owner";
  const where = functionOf(lane.line);
  const sort = { pool: ", a pool's own connections", cursor: ", cursors" }[lane.sort] ?? "";
  const facts = [lane.opened ? `${grouped(lane.opened)} opened, at most ${grouped(lane.most)} at once` : "", lane.refused ? `${grouped(lane.refused)} refused` : "", lane.leftOpen ? `${grouped(lane.leftOpen)} ${OPEN_STILL}` : "", `up to ${duration(lane.longest)}`, lane.busy >= 0 ? `${Math.round(lane.busy * 100)} % busy` : ""];
  const what = facts.filter(Boolean).join(", ");
  const unfold = () => {
    lanes.unfolded.has(lane.key) ? lanes.unfolded.delete(lane.key) : lanes.unfolded.add(lane.key);
    const key = lane.key;
    listLanes();
    focusLane(key);
    redraw();
  };
  const unfolded = lanes.unfolded.has(lane.key);
  const worst = SEVERITIES[lane.severity];
  giveRows(lane);
  const canvas = make("canvas", { "aria-hidden": "true" });
  canvas.style.height = `${lane.height}px`;
  const label = make("div", { class: "label", title: `${place(lane.line)}\n${sourceOf(lane.line)}` },
    owners ? make("button", { class: "fold", type: "button", tabindex: -1, "aria-hidden": "true", onclick: unfold }, unfolded ? "▾" : "▸") : make("span"),
    make("span", { class: "place" }, title),
    make("span", { class: "what" }, owners ? `${where ? `in ${where}` : ""}${sort}` : lane.spawned >= 0 ? `started at ${shortPlace(lane.spawned)}` : ""),
    make("span", { class: "what" }, what, lane.severity ? make("span", { class: "unseen" }, `, ${worst}`) : ""),
    make("span", { class: "dense", hidden: true }));
  const item = make("li", { class: worst, role: "treeitem", tabindex: -1, "data-key": lane.key, "aria-level": lanes.byProcess ? level + 1 : level,
    "aria-expanded": owners ? String(unfolded) : undefined },
    label, make("div", { class: "track" }, canvas));
  Object.assign(item, { lane, fold: owners ? unfold : null, canvas, seen: false });
  takesPointer(canvas, { left: () => 0, drags: true });
  canvas.addEventListener("pointermove", (event) => hover(item, event));
  canvas.addEventListener("pointerleave", hideTip);
  canvas.addEventListener("click", (event) => {
    const bar = barAt(item, event);
    if (bar >= 0) chooseBar(bar);
  });
  watcher.observe(item);
  return item;
}

function focusLane(key) {
  const item = [...document.querySelectorAll("#lanes [role=treeitem]")].find((one) => one.dataset.key === key);
  if (!item) return;
  document.querySelectorAll("#lanes [tabindex='0']").forEach((other) => other.setAttribute("tabindex", "-1"));
  item.setAttribute("tabindex", "0");
  item.focus();
}

function laneKeys(event) {
  const item = event.target.closest("[role=treeitem]");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  const items = [...document.querySelectorAll("#lanes [role=treeitem]")];
  const index = items.indexOf(item);
  const to = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to !== undefined) focusLane((items[to] ?? item).dataset.key);
  else if (event.key === "ArrowRight" && item.getAttribute("aria-expanded") === "false") item.fold();
  else if (event.key === "ArrowLeft" && item.getAttribute("aria-expanded") === "true") item.fold();
  else if (["n", "p", "Enter"].includes(event.key) && item.lane) {
    const list = item.lane.bars;
    const at = list.indexOf(view.bar) + (event.key === "p" ? -1 : 1);
    chooseBar(list[Math.min(Math.max(at, 0), list.length - 1)], { bring: true });
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
