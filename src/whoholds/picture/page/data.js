// The data of the run: columns of numbers, decoded once. Times are microseconds since the start of the run.

const data = JSON.parse(document.getElementById("data").textContent);
const SEVERITIES = ["none", "info", "warning", "error"];

const text = (number) => (number >= 0 ? data.strings[number] : "");

const bars = (() => {
  const columns = data.bars;
  const count = columns.opened.length;
  const opened = new Float64Array(count);
  const ended = new Float64Array(count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    at += columns.opened[i];
    opened[i] = at;
    ended[i] = at + columns.held[i];
  }
  return { ...columns, count, opened, ended, severity: new Uint8Array(count), shown: new Uint8Array(count).fill(1) };
})();

const CONNECTION = data.strings.indexOf("connection");
const CURSOR = data.strings.indexOf("cursor");
const REFUSED = data.strings.indexOf("refused");
const LEFT_OPEN = new Set(["open", "last seen"].map((how) => data.strings.indexOf(how)).filter((n) => n >= 0));
const FREED = new Set(["collected", "freed", "collected after its thread"].map((how) => data.strings.indexOf(how)).filter((n) => n >= 0));

const isRefused = (bar) => bars.how[bar] === REFUSED;
const isPools = (bar) => bars.kind[bar] === CONNECTION && bars.pool[bar] >= 0;
// What the server sees: connections, a pool's too. What the program holds: its own connections, and a pool's loans.
const isConnection = (bar) => bars.kind[bar] === CONNECTION && !isRefused(bar);
const isHeld = (bar) => bars.kind[bar] !== CURSOR && !isPools(bar) && !isRefused(bar);

const refusedBars = [];
for (let i = 0; i < bars.count; i++) if (isRefused(i)) refusedBars.push(i);

const findingsOf = new Map();  // bar → numbers of its findings
data.findings.forEach((finding, number) => {
  if (!finding.bars.length && data.origins[finding.origin][0] >= 0) {  // a journal that does not name the handles
    for (let i = 0; i < bars.count; i++) {
      if (bars.origin[i] === finding.origin && bars.process[i] === finding.process) finding.bars.push(i);
    }
  }
  const level = SEVERITIES.indexOf(finding.severity);
  const refused = text(finding.rule) === "refused" ? refusedBars.filter((bar) => bars.database[bar] === finding.database && bars.process[bar] === finding.process) : [];
  for (const bar of [...finding.bars, ...refused]) {
    bars.severity[bar] = Math.max(bars.severity[bar], level);
    findingsOf.has(bar) ? findingsOf.get(bar).push(number) : findingsOf.set(bar, [number]);
  }
});

// Findings about the same handles are one matter, which counts once: the worst severity of each matter.
function worstOfMatters(findings) {
  const worst = new Map();
  for (const { process, matter, severity } of findings) {
    const key = `${process} ${matter}`;
    if (!worst.has(key) || SEVERITIES.indexOf(severity) > SEVERITIES.indexOf(worst.get(key))) worst.set(key, severity);
  }
  return [...worst.values()];
}

// The moment of a finding: when its crowd was complete, and otherwise when it was first said.
const CROWDS = new Set(["too-many-at-once", "second-while-holding"]);
function momentOf(finding) {
  const opened = finding.bars.map((bar) => bars.opened[bar]);
  return CROWDS.has(text(finding.rule)) && opened.length ? Math.min(Math.max(...opened), finding.time ?? Infinity) : finding.time ?? 0;
}

function place(line) {
  if (!(line >= 0)) return "an unknown line";
  const [file, number] = data.lines[line];
  return `${text(file)}:${number}`;
}
// The end of a long path, for a place with little room.
function shortPlace(line) {
  const whole = place(line);
  const parts = whole.split(/[/\\]/);
  return whole.length > 36 && parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : whole;
}
const functionOf = (line) => (line >= 0 ? text(data.lines[line][2]) : "");
const sourceOf = (line) => (line >= 0 ? text(data.lines[line][3]) : "");
const openedAt = (bar) => data.origins[bars.origin[bar]][0];
const spawnedAt = (bar) => data.origins[bars.origin[bar]][1];
const nameOf = (bar) => (isRefused(bar) ? "Refused request" : text(bars.kind[bar]).replace(/^./, (first) => first.toUpperCase()));
const processName = (number) => {
  const { pid, argv } = data.processes[number];
  const program = (argv ?? []).filter((part) => typeof part === "string").slice(1).map((part) => part.split("/").pop());
  return program.length ? `${program.join(" ").slice(0, 80)} (process ${pid})` : `process ${pid}`;
};

function duration(micros) {
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 1e6) return `${(micros / 1e3).toPrecision(micros < 1e5 ? 2 : 3)} ms`;
  const seconds = micros / 1e6;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
}
const grouped = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");
const counted = (count, noun) => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
const clock = (micros) => new Date(data.start + micros / 1000);
const clockTime = (micros, digits = 0) => clock(micros).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", ...(digits ? { fractionalSecondDigits: digits } : {}) });
// When it was: for a run the time since its start, for a process that still runs the time of day.
const when = (micros) => (data.live ? `at ${clockTime(micros)}` : `${duration(Math.max(micros, 0))} after the start`);
const OPEN_STILL = data.live ? "open now" : "open at the end";

// The largest number of bars open at once; bars are in the order of their openings.
function mostAtOnce(list) {
  const ends = Float64Array.from(list, (bar) => bars.ended[bar]).sort();
  let most = 0;
  let gone = 0;
  list.forEach((bar, index) => {
    while (gone < ends.length && ends[gone] <= bars.opened[bar]) gone++;
    most = Math.max(most, index + 1 - gone);
  });
  return most;
}

// An element with attributes and children; text becomes text, never markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}
const byId = (id) => document.getElementById(id);
