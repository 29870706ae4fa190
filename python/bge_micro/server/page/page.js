// Lines of text to vectors by this server's /embed, and a ranking of them. arithmetic.js computes with
// vectors; heat.js and map.js draw.
"use strict";

const MOST_LINES = 200;
const SAMPLE = `The ferry to the island leaves at noon.
When does the last boat go back to the mainland?
All trains north are delayed by snow.
A cat sleeps on the warm stone wall.
The dog would not let go of the stick.
Two kittens were born behind the bakery.
Knead the dough until it is smooth.
Let the bread rise for an hour in a warm place.
Add a pinch of salt to the soup.
Interest rates were raised by a quarter point.
The bank lowered its forecast for growth.
Shares fell after the company cut its outlook.`;
const SAMPLE_QUERY = "getting home by sea";

const $ = (id) => document.getElementById(id);
const vectors = new Map(); // text -> Float32Array of unit length; a text's vector never changes
const cut = new Set(); // texts of which the model has read the beginning only
const state = {
  lines: [],
  order: [], // of the lines in the heat map
  similar: new Float32Array(0), // of all pairs of lines
  query: "",
  chosen: 0,
  cell: [0, 1], // row and column in the heat map
  key: "",
  most: 32, // texts of a request
  limit: 512, // tokens of a text
};

// ---- the server ---------------------------------------------------------------------------------

class KeyError extends Error {}

/** Ask the server; return the answer's JSON and how many texts were cut. */
async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const answer = await fetch(path, options);
  const value = await answer.json();
  const refused = answer.status === 401;
  $("key-form").hidden = !refused;
  $("key-problem").textContent = refused && state.key ? "The server refuses this key." : "";
  if (refused) throw new KeyError(value.error);
  if (!answer.ok) throw new Error(value.error);
  return { value, cut: Number(answer.headers.get("X-Truncated-Texts")) };
}

/** Fetch the vectors of the texts that have none yet. */
async function embed(texts) {
  const missing = [...new Set(texts)].filter((text) => !vectors.has(text));
  missing.sort((a, b) => a.length - b.length); // so that those that are cut are together
  for (let start = 0; start < missing.length; start += state.most) {
    await embedPart(missing.slice(start, start + state.most));
  }
}

/** Fetch vectors by one request; if it cuts some of the texts, ask by halves which they are. */
async function embedPart(inputs) {
  const answer = await ask("embed", { inputs, truncate: true });
  answer.value.forEach((row, number) => vectors.set(inputs[number], Float32Array.from(row)));
  if (answer.cut === inputs.length) inputs.forEach((text) => cut.add(text));
  else if (answer.cut) {
    const half = inputs.length >> 1;
    await embedPart(inputs.slice(0, half));
    await embedPart(inputs.slice(half));
  }
}

/** Run work, show what goes wrong, and drop the outcome if a newer run has begun. */
function latest(work) {
  let run = 0;
  return async () => {
    const mine = ++run;
    try {
      const show = await work();
      if (mine !== run) return;
      $("problem").hidden = true;
      show();
    } catch (error) {
      if (mine !== run) return;
      $("problem").hidden = error instanceof KeyError; // the form says it
      $("problem").textContent = `No answer from the server: ${error.message}`;
    }
  };
}

function debounced(delay, work) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, delay);
  };
}

// ---- what is shown ------------------------------------------------------------------------------

const rowsOf = () => state.lines.map((line) => vectors.get(line));
const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const named = (i) => `${i + 1}, “${short(state.lines[i], 90)}”`;

function choose(i) {
  state.chosen = i;
  state.cell = [state.order.indexOf(i), state.cell[1]];
  show();
}

function showRanking() {
  const rows = rowsOf();
  const query = state.query && vectors.get(state.query);
  const scores = rows.map((row) => (query ? dot(row, query) : 0));
  const order = rows.map((_, i) => i);
  if (query) order.sort((a, b) => scores[b] - scores[a]);
  const least = Math.min(...scores);
  const items = order.map((i) => {
    const item = document.createElement("li");
    const button = item.appendChild(document.createElement("button"));
    button.type = "button";
    button.dataset.line = i;
    button.setAttribute("aria-pressed", String(i === state.chosen));
    const part = (kind, text) => {
      const span = button.appendChild(document.createElement("span"));
      span.className = kind;
      span.textContent = text;
    };
    part("number", i + 1);
    part("text", state.lines[i]);
    if (cut.has(state.lines[i])) part("cut", `cut at ${state.limit} tokens`);
    if (query) {
      part("score", scores[i].toFixed(3));
      const share = (scores[i] - least) / Math.max(1 - least, 1e-6);
      button.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
    }
    return item;
  });
  const focused = document.activeElement?.dataset?.line;
  $("ranking").replaceChildren(...items);
  if (focused) $("ranking").querySelector(`[data-line="${focused}"]`)?.focus();
  $("best").textContent = query && rows.length
    ? `Best: line ${named(order[0])}, ${scores[order[0]].toFixed(3)}`
    : "";
}

function show() {
  showRanking();
  showHeat();
  showMap();
}

function showAnew() {
  heat.picture = null;
  show();
}

// ---- what people do -----------------------------------------------------------------------------

const readTexts = latest(async () => {
  const all = $("texts").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const lines = all.slice(0, MOST_LINES);
  await embed([...lines, ...(state.query ? [state.query] : [])]);
  return () => {
    state.lines = lines;
    state.similar = allPairs(rowsOf());
    heat.under = null;
    state.order = $("group").checked && lines.length ? chain(rowsOf()) : lines.map((_, i) => i);
    state.chosen = Math.min(state.chosen, Math.max(lines.length - 1, 0));
    state.cell = state.cell.map((i) => Math.min(i, Math.max(lines.length - 1, 0)));
    $("count").textContent = all.length > lines.length
      ? `The first ${MOST_LINES} of ${all.length} lines are shown.`
      : `${lines.length} ${lines.length === 1 ? "line" : "lines"}`;
    showAnew();
  };
});

const readQuery = latest(async () => {
  const query = $("query").value.trim();
  if (query) await embed([query]);
  return () => {
    state.query = query;
    show();
  };
});

async function readFacts() {
  try {
    const info = (await ask("info")).value;
    state.limit = info.max_input_length;
    state.most = info.max_client_batch_size;
    $("facts").textContent = `${info.model_id}, ${info.dimensions} numbers a text, `
      + `${info.model_dtype} on ${info.isa}: made on this server and sent nowhere else.`;
  } catch {
    // The texts' request says what is wrong.
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function lineOf(event) {
  const line = event.target.closest("[data-line]")?.dataset.line;
  if (line !== undefined) choose(Number(line));
}

function showExample() {
  $("texts").value = SAMPLE;
  $("query").value = SAMPLE_QUERY;
  return Promise.all([readTexts(), readQuery()]);
}

$("texts").value = SAMPLE;
$("example").addEventListener("click", showExample);
$("texts").addEventListener("input", debounced(250, readTexts));
$("query").addEventListener("input", debounced(60, readQuery));
$("group").addEventListener("change", readTexts);
$("ranking").addEventListener("click", lineOf);
$("map").addEventListener("click", lineOf);
$("map").addEventListener("keydown", movePoint);
$("heat").addEventListener("keydown", moveCell);
$("heat").addEventListener("pointerdown", pointCell);
$("heat").addEventListener("pointermove", hoverCell);
$("heat").addEventListener("pointerleave", hoverCell);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value;
  readFacts().then(readTexts);
});
window.addEventListener("resize", debounced(100, showAnew));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showAnew);
readFacts().then(readTexts);
