// What is known of one handle or refused request: a line in the tip, everything in the panel.

const HOW = {
  closed: "closed, or given back",
  collected: "never closed: the garbage collector freed it",
  "collected after its thread": "never closed: freed by the garbage collector after its thread had ended",
  freed: "never closed: freed with its last reference",
  "thread ended": "freed when its thread ended",
  over: "ended with its connection or pool",
  open: data.live ? "open now" : "still open at the end",
  "last seen": "open when the process was last looked at; its journal has no end",
  refused: "refused",
};

function inShort(bar) {
  const held = bars.ended[bar] - bars.opened[bar];
  const facts = [`${functionOf(openedAt(bar)) ? `in ${functionOf(openedAt(bar))}, ` : ""}${text(bars.owner[bar]) || "an unknown owner"}`];
  if (isRefused(bar)) facts.push(bars.waited[bar] ? `refused after ${duration(bars.waited[bar])}` : "refused at once");
  else facts.push(`held ${duration(held)}${busyShare(bar) >= 0 ? `, ${Math.round(busyShare(bar) * 100)} % of it in calls` : ""}; ${HOW[text(bars.how[bar])]}`);
  if (!isRefused(bar) && bars.waited[bar] > 1000) facts.push(`${bars.kind[bar] === CONNECTION ? "took" : "waited"} ${duration(bars.waited[bar])} to get it`);
  facts.push(...(findingsOf.get(bar) ?? []).map((finding) => text(data.findings[finding].rule)));
  return { title: `${nameOf(bar)} at ${place(openedAt(bar))}`, facts };
}

function showTip(lines, x, y) {
  const tip = byId("tip");
  tip.replaceChildren(...lines.map((line) => make("p", {}, line.length > 240 ? `${line.slice(0, 240)} …` : line)));
  tip.hidden = false;
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${y + tip.offsetHeight > innerHeight - 8 ? y - tip.offsetHeight - 30 : y}px`;
}
const hideTip = () => (byId("tip").hidden = true);

const lineItem = (line) => (line >= 0 ? [`${place(line)}${functionOf(line) ? ` in ${functionOf(line)}` : ""}`, sourceOf(line) ? make("code", {}, sourceOf(line)) : null] : ["not known"]);

function framesOf(stack) {
  const frames = data.stacks[stack].map((line) => make("li", { class: data.lines[line][4] ? "library" : undefined }, ...lineItem(line)));
  return make("ul", { class: "frames" }, ...frames);
}
const unfoldable = (title, ...children) => make("details", {}, make("summary", {}, title), ...children);

// The stacks of a finding of this handle, and otherwise those of the first handle of its lines.
function stacksOf(bar) {
  const finding = (findingsOf.get(bar) ?? []).map((one) => data.findings[one]).find((one) => one.stacks[0] >= 0);
  const [stack, spawn] = data.stacks_of[bars.origin[bar]] ?? finding?.stacks ?? [-1, -1];
  return [stack >= 0 ? unfoldable("Where it was opened", framesOf(stack)) : null, spawn >= 0 ? unfoldable("Where its owner was started", framesOf(spawn)) : null];
}

const poolOf = (bar) => data.pools.find((pool) => pool.key === bars.pool[bar] && pool.process === bars.process[bar]);

function factsOf(bar) {
  const share = busyShare(bar);
  const held = bars.ended[bar] - bars.opened[bar];
  const refused = isRefused(bar);
  const spawned = spawnedAt(bar);
  return [
    [refused ? "Asked at" : "Opened at", ...lineItem(openedAt(bar))],
    ["By", text(bars.owner[bar]) || "an unknown owner"],
    spawned >= 0 ? ["Started at", ...lineItem(spawned)] : null,
    ["Database", text(bars.database[bar])],
    ["Time", `${clockTime(bars.opened[bar], 3)}${data.live ? "" : `, ${when(bars.opened[bar])}`}`],
    bars.waited[bar] > 0 ? [bars.kind[bar] === CONNECTION && !refused ? "Opening took" : "Waited", duration(bars.waited[bar])] : null,
    refused ? null : ["Held", duration(held)],
    share >= 0 ? ["In calls", `${duration(bars.busy[bar])}, ${Math.round(share * 100)} % of the time; ${counted(bars.uses[bar], "call")}`] : null,
    bars.idle[bar] > 0 ? ["Unused since", `${duration(bars.idle[bar])} before its end${bars.in_transaction[bar] ? ", in a transaction" : ""}`] : null,
    poolOf(bar) ? ["Pool", ...lineItem(poolOf(bar).line)] : null,
    ["End", HOW[text(bars.how[bar])]],
    bars.scope[bar] >= 0 ? ["In", text(bars.scope[bar])] : null,
    data.processes.length > 1 ? ["Process", processName(bars.process[bar])] : null,
    bars.backend[bar] ? ["Server's process", String(bars.backend[bar])] : null,
    data.traces[bar] ? ["Trace", make("span", { class: "code" }, data.traces[bar])] : null,
  ].filter(Boolean);
}

function statementsOf(bar) {
  const calls = data.statements[bar];
  if (!calls?.length) return null;
  const items = calls.map(([sql, began, lasted]) => make("li", {}, make("code", {}, text(sql) || "another call, such as commit"), " ", make("span", {}, `after ${duration(Math.max(began, 0))}, took ${duration(lasted)}`)));
  return make("div", {}, make("h3", {}, calls.length > 1 ? "Last calls" : "Last call"), make("ul", { class: "statements" }, ...items));
}

function drawDetails() {
  const bar = view.bar;
  const panel = byId("details");
  panel.hidden = bar < 0;
  if (bar < 0) return panel.replaceChildren();
  const facts = factsOf(bar).flatMap(([name, ...values]) => [make("dt", {}, name), make("dd", {}, ...values)]);
  const named = (findingsOf.get(bar) ?? []).map((finding) => make("button", { type: "button", onclick: () => chooseFinding(finding, { scroll: true }) }, text(data.findings[finding].rule)));
  panel.replaceChildren(
    make("div", { class: "head" }, make("h2", { id: "details-heading" }, `${nameOf(bar)} ${bars.key[bar] || ""}`), make("button", { type: "button", "aria-label": "Close", onclick: () => chooseBar(-1) }, "×")),
    named.length ? make("div", { class: "tools" }, ...named) : "",
    make("dl", {}, ...facts),
    statementsOf(bar) ?? "",
    ...stacksOf(bar).filter(Boolean),
  );
}

function chooseBar(bar, { bring = false } = {}) {
  view.bar = bar;
  if (bar >= 0) {
    if (bring) bringIntoView(bars.opened[bar] - bars.waited[bar], bars.ended[bar]);
    if (location.protocol !== "about:") history.replaceState(null, "", anchorOf(bar)); // not in a notebook's frame
  }
  drawDetails();
  if (bar >= 0) byId("details").scrollIntoView({ block: "nearest" });
  redraw();
}

const anchorOf = (bar) => (bars.key[bar] ? `#handle-${data.processes[bars.process[bar]].pid}-${bars.key[bar]}` : "#");

// The link of a failure in a test's output: the page opens at the bar.
function followAnchor() {
  const [, pid, key] = /^#handle-(\d+)-(\d+)$/.exec(location.hash) ?? [];
  if (!key) return;
  for (let bar = 0; bar < bars.count; bar++) {
    if (bars.key[bar] === Number(key) && data.processes[bars.process[bar]].pid === Number(pid)) {
      chooseBar(bar, { bring: true });
      const lane = lanes.all.find((one) => one.bars.includes(bar));
      [...document.querySelectorAll("#lanes li")].find((item) => item.lane === lane)?.scrollIntoView({ block: "center" });
      return;
    }
  }
}
