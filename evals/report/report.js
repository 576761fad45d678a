"use strict";

// Everything that a model wrote goes into the page as text: through textContent, never as markup.

const ROWS_AT_ONCE = 100;
const EXCERPT = 200;
// As in visible.py: what steers a page, but for ends of lines, tabs, and joiners.
const STEERING = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const SIGNS = { pass: "✓", miss: "✗", mixed: "±", unscored: "–" };
const WORDS = { pass: "passes every check", miss: "misses a check", mixed: "differs between repeats", unscored: "not judged" };

function visible(text) {
  return text.replace(STEERING, (found) => `⟨U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function element(name, classes, ...inner) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  for (const one of inner) {
    if (one === null || one === "") continue;
    made.append(typeof one === "string" ? visible(one) : one);
  }
  return made;
}

// Tables: a button in each head that can be sorted by.

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, heads, head, column));
  });
}

function sortBy(table, heads, head, column) {
  const numeric = head.dataset.sort === "number";
  // The best first: rates fall, costs and names rise.
  const first = head.dataset.first ?? (numeric ? "descending" : "ascending");
  const other = first === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const one of heads) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, key: sortKey(row.cells[column], numeric) }));
  rows.sort((a, b) => {
    // What is not known stands last either way.
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return sign * (numeric ? a.key - b.key : a.key.localeCompare(b.key, "en", { numeric: true }));
  });
  body.append(...rows.map((one) => one.row));
}

function sortKey(cell, numeric) {
  if (!numeric) return cell.textContent.trim();
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
}

// Cases: rows as they are asked for, each one's body when it is opened.

function readCases(data) {
  return data.cases.map(([task, name, split, tags, prompt, system, replies]) => {
    const one = { task, name, split, tags, prompt, system, replies: replies.map(readReply), haystack: null, row: null };
    one.states = data.models.map((_, model) => stateOf(one.replies.filter((reply) => reply.model === model)));
    const states = one.states.filter((state) => state !== null && state !== "unscored");
    one.missed = states.some((state) => state !== "pass");
    one.differs = new Set(states).size > 1;
    one.passed = states.length > 0 && !one.missed;
    return one;
  });
}

function readReply([model, repeat, outcome, text, thinking, stop, fault, seconds, tokens, cut, checks]) {
  const state = checks.length === 0 ? "unscored" : checks.every((check) => check[1] === "pass") ? "pass" : "miss";
  return { model, repeat, outcome, text, thinking, stop, fault, seconds, tokens, cut, checks, state };
}

function stateOf(replies) {
  if (replies.length === 0) return null;
  const states = new Set(replies.map((reply) => reply.state));
  return states.size === 1 ? [...states][0] : "mixed";
}

function haystack(one) {
  if (one.haystack === null) {
    const texts = one.replies.flatMap((reply) => [reply.text, reply.thinking]);
    one.haystack = [one.task, one.name, one.prompt ?? "", ...one.tags, ...texts].join("\n").toLowerCase();
  }
  return one.haystack;
}

const OUTCOMES = [
  ["", "any outcome"],
  ["missed", "any miss"],
  ["differs", "models differ"],
  ["passed", "all pass"],
];

function select(name, label, options, onChange) {
  const box = document.createElement("select");
  box.name = name;
  for (const [value, words] of options) {
    const option = element("option", "", words);
    option.value = value;
    box.append(option);
  }
  box.addEventListener("change", onChange);
  return { box, label: element("label", "", label, box) };
}

function options(all, values) {
  const found = [...new Set(values)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return [["", all], ...found.map((value) => [value, value])];
}

function showCases(place, data) {
  const cases = readCases(data);
  const list = element("div", "list");
  const count = element("p", "count");
  count.setAttribute("role", "status");
  const more = element("button", "plain more");
  more.type = "button";
  let found = cases;
  let drawn = 0;

  function drawMore() {
    const end = Math.min(drawn + ROWS_AT_ONCE, found.length);
    // Rows are kept: one that was opened is open when it is found again.
    list.append(...found.slice(drawn, end).map((one) => (one.row ??= caseRow(one, data))));
    drawn = end;
    more.hidden = drawn === found.length;
    more.textContent = `Show ${Math.min(ROWS_AT_ONCE, found.length - drawn)} more`;
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/u).filter((word) => word);
    const { task, outcome, tag, split } = chosen();
    found = cases.filter(
      (one) =>
        (!task || one.task === task) &&
        (!outcome || one[outcome]) &&
        (!tag || one.tags.includes(tag)) &&
        (!split || one.split === split) &&
        words.every((word) => haystack(one).includes(word)),
    );
    list.replaceChildren();
    drawn = 0;
    count.textContent = found.length === cases.length ? `${cases.length} cases` : `${found.length} of ${cases.length} cases`;
    drawMore();
  }

  const search = document.createElement("input");
  search.type = "search";
  search.name = "text";
  search.placeholder = "a word of a case, a prompt or a reply";
  search.addEventListener("input", filter);
  const boxes = [
    select("task", "Task", options("all tasks", cases.map((one) => one.task)), filter),
    select("outcome", "Outcome", OUTCOMES.filter(([value]) => value !== "differs" || data.models.length > 1), filter),
    select("tag", "Tag", options("all tags", cases.flatMap((one) => one.tags)), filter),
    select("split", "Split", options("all splits", cases.map((one) => one.split)), filter),
  ];
  const chosen = () => Object.fromEntries(boxes.map(({ box }) => [box.name, box.value]));
  // A choice between one thing is none.
  const offered = boxes.filter(({ box }) => box.options.length > 2);
  const filters = element("div", "filters", element("label", "", "Search", search), ...offered.map(({ label }) => label));
  filters.setAttribute("role", "search");
  more.addEventListener("click", () => {
    const next = drawn;
    drawMore();
    list.children[next].firstElementChild.focus();
  });
  const legend = data.models.length > 1 ? element("p", "legend", `Marks from left to right: ${data.models.join(", ")}.`) : "";
  place.append(filters, count, legend, list, more);
  filter();
}

function caseRow(one, data) {
  const marks = element("span", "marks");
  one.states.forEach((state, model) => {
    if (state === null) return;
    const mark = element("span", state, SIGNS[state]);
    mark.title = visible(`${data.models[model]} ${WORDS[state]}`);
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", mark.title);
    marks.append(mark);
  });
  const where = [one.task, one.split, ...one.tags].filter((word) => word).join(" · ");
  const asked = (one.prompt ?? "").slice(0, EXCERPT).replace(/\s+/gu, " ");
  const row = element(
    "details",
    "case",
    element("summary", "", element("span", "name", one.name, element("small", "", where)), element("span", "asked", asked), marks),
  );
  row.addEventListener("toggle", () => {
    if (!row.open || row.childElementCount > 1) return;
    row.append(caseBody(one, data));
    for (const text of row.querySelectorAll(".text, code")) makeScrollable(text);
  });
  return row;
}

// What scrolls has to be reachable without a mouse.
function makeScrollable(box) {
  if (box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
}

function caseBody(one, data) {
  const system = one.system === null ? "" : data.systems[one.system];
  const asked =
    one.prompt === null
      ? element("p", "meta", "What was asked is not known: the task's files are no longer those of the run.")
      : element("pre", "text", one.prompt);
  const replies = element("div", "replies");
  data.models.forEach((label, model) => {
    const own = one.replies.filter((reply) => reply.model === model);
    if (own.length) replies.append(replyCard(label, one.states[model], own, data));
  });
  return element("div", "body", system ? folded("System message", system) : null, element("h4", "", "Prompt"), asked, replies);
}

function folded(title, text) {
  return element("details", "", element("summary", "", title), element("pre", "text", text));
}

function replyCard(label, state, replies, data) {
  const badge = element("span", `badge ${state}`, `${SIGNS[state]} ${state}`);
  const card = element("article", `reply is-${state}`, element("h4", "", element("span", "", label), badge));
  replies.forEach((reply, index) => {
    const part = element("div", index ? "again" : "");
    if (replies.length > 1) part.append(element("p", "meta", `repeat ${reply.repeat + 1}: ${SIGNS[reply.state]} ${reply.state}`));
    part.append(...replyParts(reply, data));
    card.append(part);
  });
  return card;
}

function replyParts(reply, data) {
  const parts = [];
  if (reply.thinking) parts.push(folded("Thinking", reply.thinking));
  parts.push(reply.text ? element("pre", "text", reply.text) : element("p", "meta", "(no text)"));
  if (reply.cut) parts.push(element("p", "meta", `${reply.cut.toLocaleString("en")} characters are left out; the run record has them.`));
  if (reply.fault) parts.push(element("p", "fault", reply.fault));
  const figures = [reply.outcome.replaceAll("_", " ")];
  if (reply.stop) figures.push(`stop reason ${reply.stop}`);
  if (reply.seconds !== null) figures.push(`${reply.seconds.toFixed(2)} s`);
  if (reply.tokens !== null) figures.push(`${reply.tokens} tokens`);
  parts.push(element("p", "meta", figures.join(" · ")));
  if (reply.checks.length) parts.push(element("ul", "checks", ...reply.checks.map((check) => checkLine(check, data))));
  return parts;
}

function checkLine([kind, outcome, value, extracted, reason], data) {
  const [name, capability] = data.checks[kind];
  const state = outcome === "pass" ? "pass" : outcome === "fail" ? "miss" : "unscored";
  const sign = element("span", `sign ${state}`, SIGNS[state]);
  sign.setAttribute("role", "img");
  sign.setAttribute("aria-label", outcome);
  const partial = value > 0 && value < 1 ? `, ${value.toFixed(2)}` : "";
  const said = element("div", "", element("b", "", name), element("span", "of", ` ${capability}${partial}`));
  if (data.texts[reason]) said.append(element("div", "", data.texts[reason]));
  if (data.texts[extracted]) said.append(element("code", "", data.texts[extracted]));
  return element("li", "", sign, said);
}

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
const place = document.getElementById("browser");
if (place) showCases(place, JSON.parse(document.getElementById("data").textContent));
