// Fills the page, and takes the keys.

function drawHeader() {
  const first = data.processes[0];
  const title = data.title || (first ? processName(0).replace(/ \(process \d+\)$/, "") : "A run");
  byId("title").textContent = title;
  document.title = `${title} – whoholds`;
  const hosts = [...new Set(data.processes.map((process) => process.host).filter(Boolean))];
  const over = data.live ? `as of ${clockTime(LAST)}, drawn since ${clockTime(FIRST)}` : `${clock(0).toLocaleString()}, ${duration(data.length)}`;
  byId("when").textContent = `${over}${data.processes.length > 1 ? `, ${counted(data.processes.length, "process").replace("processs", "processes")}` : ""}${hosts.length ? ` on ${hosts.slice(0, 3).join(", ")}` : ""}`;
  byId("version").textContent = data.whoholds;
  byId("from").textContent = new Date(data.start).toISOString();
  const count = (test) => {
    let total = 0;
    for (let i = 0; i < bars.count; i++) total += test(i);
    return total;
  };
  const all = [...bars.opened.keys()]; // of all databases together, as the other numbers are
  const most = Math.max(mostAtOnce(all.filter(isConnection)), mostAtOnce(all.filter(isHeld)), ...data.databases.map((database) => database.peak));
  const worst = worstOfMatters(data.findings);
  const severities = (severity) => worst.filter((each) => each === severity).length;
  const numbers = [
    ["at most open at once", most],
    ["connections opened", count(isConnection)],
    ["loans of pools", count((bar) => bars.kind[bar] !== CONNECTION && bars.kind[bar] !== CURSOR && !isRefused(bar))],
    ["requests refused", count(isRefused), "error"],
    [OPEN_STILL, count((bar) => isHeld(bar) && LEFT_OPEN.has(bars.how[bar]))],
    ["errors", severities("error"), "error"],
    ["warnings", severities("warning"), "warning"],
  ].filter(([, value], index) => value || index < 2);
  byId("numbers").replaceChildren(...numbers.map(([name, value, kind]) => make("div", { class: kind }, make("dt", {}, value === 1 ? name.replace(/s$/, "").replace("connections", "connection").replace("requests", "request").replace("loans", "loan") : name), make("dd", {}, grouped(value)))));
  byId("remarks").replaceChildren(...[...data.remarks, ...data.asides].map((remark) => make("p", { class: "remark" }, remark)));
}

function fillProcesses() {
  const select = byId("process");
  const several = data.processes.length > 1;
  select.hidden = !several;
  select.append(make("option", { value: "" }, "All processes"), make("option", { value: "each" }, "Grouped by process"), ...data.processes.slice(0, 200).map((_, index) => make("option", { value: index }, processName(index))));
  lanes.byProcess = several && data.processes.length <= 8;
  select.value = lanes.byProcess ? "each" : "";
}

function filter() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const severity = byId("severity").value;
  const process = byId("process").value;
  const strings = data.strings.map((one) => one.toLowerCase());
  const of = (index) => (index >= 0 ? strings[index] : "");
  const lineText = data.lines.map(([file, at, name, source]) => `${of(file)}:${at} ${of(name)} ${of(source)}`);
  const lineOf = (line) => (line >= 0 ? lineText[line] : "");
  const all = (bar) => [lineOf(openedAt(bar)), lineOf(spawnedAt(bar)), of(bars.owner[bar]), of(bars.database[bar]), of(bars.scope[bar]), of(bars.kind[bar]), data.traces[bar] ?? "", ...(data.statements[bar] ?? []).map(([sql]) => of(sql)), ...(findingsOf.get(bar) ?? []).map((finding) => of(data.findings[finding].rule))].join("\n");
  for (let bar = 0; bar < bars.count; bar++) {
    const level = Math.max(bars.severity[bar], isRefused(bar) ? 3 : 0);
    const wanted = severity === "open" ? LEFT_OPEN.has(bars.how[bar]) : level >= Number(severity);
    const here = process === "" || process === "each" || bars.process[bar] === Number(process);
    bars.shown[bar] = wanted && here && (!words.length || containsAll(all(bar), words)) ? 1 : 0;
  }
  lanes.byProcess = process === "each";
  byId("clear").hidden = !words.length && severity === "0" && (process === "" || process === "each");
  refresh();
}
const containsAll = (haystack, words) => words.every((word) => haystack.includes(word));

function refresh() {
  prepareCurve();
  listLanes();
  drawTabs();
  drawLegend();
  redraw();
}

function clearFilters() {
  byId("search").value = "";
  byId("severity").value = "0";
  if (byId("process").value !== "each") byId("process").value = "";
  chooseFinding(-1);
  chooseBar(-1);
  filter();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  readColours();
  drawSamples();
  redraw();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const inField = /^(input|select|textarea)$/i.test(event.target.tagName);
  if (event.key === "Escape") {
    if (inField) event.target.blur(); // the next key is meant for the page
    return clearFilters();
  }
  if (inField) return;
  const onCurve = event.target.closest?.("#plot");
  const does = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: showAll, f: nextFinding,
    "/": () => byId("search").focus(), "?": () => byId("help").showModal(),
    ...(onCurve ? { ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), ArrowUp: () => zoom(0.5), ArrowDown: () => zoom(2) } : {}),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
}

function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  fillProcesses();
  state.tab = data.table;
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  if (data.live && !bars.count) for (const id of ["lines", "table"]) byId(id).hidden = true; // nothing was opened yet
  refresh();
  drawHeader();
  drawFindings();
  drawers.push(drawCurve, drawLanes);
  showAll();
  const on = (id, does, kind = "click") => byId(id).addEventListener(kind, does);
  on("theme", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  on("print", () => print());
  on("keys", () => byId("help").showModal());
  on("zoom-in", () => zoom(0.5));
  on("zoom-out", () => zoom(2));
  on("earlier", () => move(-0.3));
  on("later", () => move(0.3));
  on("whole", showAll);
  on("clear", clearFilters);
  on("severity", filter, "change");
  on("process", filter, "change");
  let waiting = 0;
  on("search", () => (clearTimeout(waiting), (waiting = setTimeout(filter, 120))), "input");
  on("lanes", laneKeys, "keydown");
  document.addEventListener("keydown", keys);
  takesPointer(byId("plot"), { left: gutter, drags: false });
  addEventListener("resize", redraw);
  addEventListener("hashchange", followAnchor);
  let before = "light";
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    document.querySelectorAll(".finding details:first-of-type").forEach((one) => (one.open = true));
    setTheme("light");
    document.querySelectorAll("#lanes li").forEach((item) => (item.seen = true));
    drawers.forEach((draw) => draw());
  });
  addEventListener("afterprint", () => setTheme(before));
  followAnchor();
  document.documentElement.dataset.drawn = "yes";
}
start();
