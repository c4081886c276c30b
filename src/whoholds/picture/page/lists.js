// Beside the drawing: the findings with their whole texts; below it the tables, which sort and are filtered with the bars.

const state = { info: false, tab: "lines", sort: {} };
const RANK = { error: 0, warning: 1, info: 2 };

const shownFindings = () => data.findings.map((_, index) => index).filter((index) => state.info || data.findings[index].severity !== "info");

function drawFindings() {
  const all = shownFindings().sort((one, other) => RANK[data.findings[one].severity] - RANK[data.findings[other].severity] || momentOf(data.findings[one]) - momentOf(data.findings[other]));
  const info = data.findings.filter((finding) => finding.severity === "info").length;
  const toggle = () => {
    state.info = !state.info;
    drawFindings();
    redraw();
  };
  byId("findings").replaceChildren(
    make("h2", { id: "findings-heading" }, "Findings", make("small", {}, countedAsMatters(all))),
    all.length ? "" : make("p", {}, data.headline),
    ...all.map(findingCard),
    info ? make("p", {}, make("button", { type: "button", onclick: toggle, "aria-pressed": String(state.info) }, state.info ? "Hide those of severity info" : `Show ${grouped(info)} of severity info`)) : "",
  );
}

// `2`, as the headline counts them, or `1, in 2 reports` where two rules named the same handles.
function countedAsMatters(shown) {
  const matters = worstOfMatters(shown.map((index) => data.findings[index])).length;
  return matters === shown.length ? (matters ? grouped(matters) : "none") : `${grouped(matters)}, in ${grouped(shown.length)} reports`;
}

function findingCard(index) {
  const finding = data.findings[index];
  const rule = text(finding.rule);
  const message = text(finding.message);
  const chosen = view.finding === index;
  const now = finding.now.filter(([, stack]) => stack >= 0).map(([count, stack]) => unfoldable(`Where ${grouped(count)} of its owners ${count === 1 ? "was" : "were"} then`, framesOf(stack)));
  const [stack, spawn] = finding.stacks;
  return make("article", { class: `finding ${finding.severity}${chosen ? " chosen" : ""}`, id: `finding-${index}`, tabindex: -1 },
    make("h3", {}, rule, " ", make("span", {}, `${finding.severity}, ${when(momentOf(finding))}${data.processes.length > 1 ? `, process ${data.processes[finding.process].pid}` : ""}`)),
    make("p", {}, message.startsWith(`${rule}: `) ? message.slice(rule.length + 2) : message),
    unfoldable("The whole report", make("pre", {}, text(finding.report))),
    stack >= 0 ? unfoldable("Where it was opened", framesOf(stack)) : "",
    spawn >= 0 ? unfoldable("Where its owner was started", framesOf(spawn)) : "",
    ...now,
    make("div", { class: "tools" },
      finding.bars.length ? make("button", { type: "button", "aria-pressed": String(chosen), onclick: () => chooseFinding(chosen ? -1 : index) }, chosen ? "Show all bars again" : finding.bars.length === finding.count ? `Show its ${counted(finding.count, "bar")}` : "Show its bars") : ""));
}

function chooseFinding(index, { scroll = false } = {}) {
  view.finding = index;
  drawFindings();
  if (index >= 0) {
    const finding = data.findings[index];
    if (finding.bars.length) bringIntoView(Math.min(...finding.bars.map((bar) => bars.opened[bar])), Math.max(...finding.bars.map((bar) => bars.ended[bar])));
    if (scroll) {
      byId(`finding-${index}`)?.focus({ preventScroll: true });
      byId(`finding-${index}`)?.scrollIntoView({ block: "nearest" });
    }
  }
  redraw();
}

function nextFinding() {
  const all = [...byId("findings").querySelectorAll(".finding")].map((card) => Number(card.id.split("-")[1]));
  if (all.length) chooseFinding(all[(all.indexOf(view.finding) + 1) % all.length], { scroll: true });
}

// --- tables -----------------------------------------------------------------------------------------------------------

const share = (value) => {
  const bar = make("i");
  bar.style.width = `${Math.round(Math.max(value, 0) * 100)}%`;
  return value < 0 ? ["–"] : [make("span", { class: "share" }, bar), `${Math.round(value * 100)} %`];
};
const COUNTS = [
  { name: "Opened", number: true, value: (row) => row.opened, show: (row) => [grouped(row.opened)] },
  { name: "Most at once", number: true, value: (row) => row.most, show: (row) => [grouped(row.most)] },
  { name: "Longest", number: true, value: (row) => row.longest, show: (row) => [duration(row.longest)] },
  { name: "Busy", number: true, value: (row) => row.busy, show: (row) => share(row.busy) },
  { name: OPEN_STILL.replace("o", "O"), number: true, value: (row) => row.leftOpen, show: (row) => [grouped(row.leftOpen)] },
  { name: "Refused", number: true, value: (row) => row.refused, show: (row) => [grouped(row.refused)] },
];
const placeColumn = { name: "Line", value: (row) => place(row.line), show: (row) => [place(row.line), functionOf(row.line) ? ` in ${functionOf(row.line)}` : "", row.sort === "pool" ? ", a pool's own connections" : "", sourceOf(row.line) ? make("div", { class: "code" }, sourceOf(row.line)) : ""] };

function groupsBy(key, label) {
  const groups = new Map();
  for (let i = 0; i < bars.count; i++) {
    if (!bars.shown[i]) continue;
    const of = key(i);
    if (of === null) continue;
    groups.has(of) ? groups.get(of).push(i) : groups.set(of, [i]);
  }
  return [...groups].map(([of, list]) => laneOf(of, list, label(of, list)));
}

// What was open when the most were: so many from each line.
function composition(list) {
  const held = list.filter((bar) => !isRefused(bar));
  const steps = stepsOf(held);
  const lines = new Map();
  for (const bar of held) if (bars.opened[bar] <= steps.mostAt && bars.ended[bar] > steps.mostAt) lines.set(openedAt(bar), (lines.get(openedAt(bar)) ?? 0) + 1);
  return [...lines].sort((one, other) => other[1] - one[1]).slice(0, 3).map(([line, count]) => `${count} from ${place(line)}`).join(", ");
}

const spreadOf = ([half, most, longest]) => [
  make("div", {}, `half up to ${duration(half)}`),
  make("div", {}, `99 % up to ${duration(most)}`),
  make("div", {}, `longest ${duration(longest)}`),
];
const sizesOf = ({ no_wait, few_waits, only_used }) => [
  make("div", {}, `${grouped(no_wait)} if nobody waits`),
  make("div", {}, `${grouped(few_waits)} if 1 % wait`),
  only_used === null ? "" : make("div", {}, `${grouped(only_used)} if held while used`),
];

const TABLES = {
  lines: {
    title: "Opening lines",
    rows: () => groupsBy((bar) => `${openedAt(bar)} ${isPools(bar)}`, (_, list) => ({ line: openedAt(list[0]), sort: isPools(list[0]) ? "pool" : "" })),
    columns: [placeColumn, ...COUNTS],
  },
  scopes: {
    title: "Tests, requests and jobs",
    rows: () => groupsBy((bar) => (bars.scope[bar] >= 0 ? bars.scope[bar] : null), (scope, list) => ({ name: text(scope), composition: composition(list) })),
    columns: [{ name: "Name", value: (row) => row.name, show: (row) => [row.name, make("div", { class: "code" }, row.composition)] }, ...COUNTS],
  },
  pools: {
    title: "Pools",
    rows: () => data.pools,
    columns: [
      { name: "Pool, made at", value: (pool) => place(pool.line), show: (pool) => [place(pool.line), make("div", { class: "code" }, `${text(pool.name)}${data.processes.length > 1 ? `, ${processName(pool.process)}` : ""}`)] },
      { name: "At most", number: true, value: (pool) => pool.max ?? Infinity, show: (pool) => [pool.max ? grouped(pool.max) : "no limit"] },
      { name: "Loans", number: true, value: (pool) => pool.loans, show: (pool) => [grouped(pool.loans)] },
      { name: "Wanted at once", number: true, value: (pool) => pool.wanted, show: (pool) => [grouped(pool.wanted)] },
      { name: "Used", number: true, value: (pool) => pool.used_share ?? -1, show: (pool) => share(pool.used_share ?? -1) },
      { name: "Waited", number: true, value: (pool) => pool.wait[2], show: (pool) => spreadOf(pool.wait) },
      { name: "Held", number: true, value: (pool) => pool.held[2], show: (pool) => spreadOf(pool.held) },
      { name: "Refused", number: true, value: (pool) => pool.refused, show: (pool) => [grouped(pool.refused)] },
      { name: "Large enough", number: true, value: (pool) => pool.sizes?.no_wait ?? -1, show: (pool) => (pool.sizes ? sizesOf(pool.sizes) : ["–"]) },
    ],
  },
  databases: {
    title: "Databases",
    rows: () => groupsBy((bar) => (isPools(bar) ? null : bars.database[bar]), (name) => ({ name: text(name) })),
    columns: [{ name: "Database", value: (row) => row.name, show: (row) => [row.name] }, ...COUNTS],
  },
  processes: {
    title: "Processes",
    rows: () => groupsBy((bar) => (isPools(bar) ? null : bars.process[bar]), (process) => ({ process })),
    columns: [
      { name: "Process", value: (row) => data.processes[row.process].pid, show: (row) => [processName(row.process)] },
      { name: "Started by", value: (row) => data.processes[row.process].parent ?? 0, show: (row) => [String(data.processes[row.process].parent ?? "–")] },
      { name: "End", value: (row) => data.processes[row.process].ended ?? -1, show: (row) => [data.processes[row.process].ended === null ? "not in the journal" : `after ${duration(data.processes[row.process].ended)}`] },
      ...COUNTS,
    ],
  },
};

function drawTabs() {
  const useful = Object.keys(TABLES).filter((name) => name === "lines" || TABLES[name].rows().length > (name === "scopes" || name === "pools" ? 0 : 1));
  if (!useful.includes(state.tab)) state.tab = "lines";
  const tabs = useful.map((name) => make("button", { type: "button", role: "tab", "aria-selected": String(name === state.tab), "aria-controls": "panel", onclick: () => ((state.tab = name), drawTabs()) }, TABLES[name].title));
  byId("tabs").replaceChildren(...tabs);
  drawTable();
}

function drawTable() {
  const table = TABLES[state.tab];
  const sort = (state.sort[state.tab] ??= { column: table.columns.findIndex((column) => column.name === "Most at once"), down: true });
  const { value } = table.columns[Math.max(sort.column, 0)];
  const rows = table.rows().sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    return (typeof a === "string" ? a.localeCompare(b) : a - b) * (sort.down ? -1 : 1);
  });
  const heads = table.columns.map((column, index) => {
    const by = () => {
      state.sort[state.tab] = { column: index, down: sort.column === index ? !sort.down : Boolean(column.number) };
      drawTable();
      byId("panel").querySelectorAll("th button")[index].focus();
    };
    return make("th", { scope: "col", class: column.number ? "number" : undefined, "aria-sort": sort.column === index ? (sort.down ? "descending" : "ascending") : "none" }, make("button", { type: "button", onclick: by }, column.name));
  });
  const most = 500;
  const body = rows.slice(0, most).map((row) => {
    const cells = table.columns.map((column) => make("td", { class: column.number ? "number" : undefined }, ...column.show(row)));
    return make("tr", row.bars ? { class: "can", onclick: () => bringIntoView(bars.opened[row.bars[0]], row.bars.reduce((end, bar) => Math.max(end, bars.ended[bar]), 0)) } : {}, ...cells);
  });
  const more = rows.length > most ? make("p", {}, `and ${grouped(rows.length - most)} more rows`) : "";
  byId("panel").replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body)), more);
}
