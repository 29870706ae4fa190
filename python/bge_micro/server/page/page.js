// Lines of text to vectors by this server's /embed; a heat map, a map and a ranking of them.
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

const $ = (id) => document.getElementById(id);
const vectors = new Map(); // text -> Float32Array of unit length; a text's vector never changes
const state = { lines: [], order: [], query: "", chosen: 0, cell: [0, 1], key: "", most: 32 };

// ---- the server ---------------------------------------------------------------------------------

async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const answer = await fetch(path, options);
  $("key-form").hidden = answer.status !== 401;
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

/** Fetch the vectors of the texts that have none yet. */
async function embed(texts) {
  const missing = [...new Set(texts)].filter((text) => !vectors.has(text));
  for (let start = 0; start < missing.length; start += state.most) {
    const inputs = missing.slice(start, start + state.most);
    const rows = await ask("embed", { inputs, truncate: true });
    rows.forEach((row, number) => vectors.set(inputs[number], Float32Array.from(row)));
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
      $("problem").hidden = false;
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

// ---- arithmetic ---------------------------------------------------------------------------------

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The two main axes of centred rows, by power iteration, and where rows lie on them. */
function mainAxes(rows) {
  const size = rows[0].length;
  const mean = new Float64Array(size);
  for (const row of rows) row.forEach((value, i) => (mean[i] += value / rows.length));
  const centre = (row) => Float64Array.from(row, (value, i) => value - mean[i]);
  const centred = rows.map(centre);
  const axes = [];
  for (let number = 0; number < 2; number++) {
    let axis = Float64Array.from({ length: size }, (_, i) => Math.sin(1 + i * (number + 1)));
    for (let step = 0; step < 60; step++) {
      const next = new Float64Array(size);
      for (const row of centred) {
        const weight = dot(row, axis);
        for (let i = 0; i < size; i++) next[i] += weight * row[i];
      }
      for (const known of axes) {
        const share = dot(next, known);
        for (let i = 0; i < size; i++) next[i] -= share * known[i];
      }
      const length = Math.sqrt(dot(next, next));
      if (length < 1e-12) break; // fewer lines than directions: any axis will do
      axis = next.map((value) => value / length);
    }
    axes.push(axis);
  }
  return (row) => axes.map((axis) => dot(centre(row), axis));
}

/** An order in which each line is followed by the one most like it of those left. */
function chain(rows) {
  const left = rows.map((_, i) => i);
  const order = left.splice(0, 1);
  while (left.length) {
    const last = rows[order[order.length - 1]];
    let best = 0;
    for (let i = 1; i < left.length; i++) {
      if (dot(last, rows[left[i]]) > dot(last, rows[left[best]])) best = i;
    }
    order.push(...left.splice(best, 1));
  }
  return order;
}

// ---- what is shown ------------------------------------------------------------------------------

const rowsOf = () => state.lines.map((line) => vectors.get(line));
const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const named = (i) => `${i + 1}, “${short(state.lines[i], 90)}”`;

function svg(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

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

function rampColours() {
  const text = getComputedStyle(document.documentElement).getPropertyValue("--ramp");
  return text.split(",").map((colour) =>
    [1, 3, 5].map((at) => parseInt(colour.trim().slice(at, at + 2), 16)));
}

function colourAt(ramp, share) {
  const place = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[low].map((value, i) => Math.round(value + (place - low) * (ramp[low + 1][i] - value)));
}

function showHeat() {
  const canvas = $("heat");
  const rows = state.order.map((i) => vectors.get(state.lines[i]));
  const count = rows.length;
  const width = canvas.clientWidth;
  const labels = width > 430 && count <= 40 ? Math.round(width * 0.33) : 26;
  const top = 20;
  const cell = (width - labels) / Math.max(count, 1);
  const height = Math.max(Math.round(cell * count) + top, 40);
  const scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.dataset.labels = labels;
  const draw = canvas.getContext("2d");
  draw.scale(scale, scale);
  const values = rows.map((a) => rows.map((b) => dot(a, b)));
  const apart = values.flatMap((row, i) => row.filter((_, j) => j !== i));
  const low = apart.length ? apart.reduce((a, b) => Math.min(a, b)) : 0;
  $("low").textContent = low.toFixed(2);
  $("high").textContent = "1.00";

  const style = getComputedStyle(document.documentElement);
  const font = getComputedStyle(document.body).fontFamily;
  const ramp = rampColours();
  const gap = cell > 12 ? 1 : 0;
  values.forEach((row, i) => row.forEach((value, j) => {
    const [r, g, b] = colourAt(ramp, (value - low) / (1 - low || 1));
    const [x, y] = [labels + j * cell, top + i * cell];
    draw.fillStyle = `rgb(${r} ${g} ${b})`;
    draw.fillRect(x, y, cell - gap, cell - gap);
    if (cell >= 27) {
      const bright = 0.3 * r + 0.6 * g + 0.1 * b > 135;
      draw.fillStyle = style.getPropertyValue(bright ? "--on-light" : "--on-dark");
      draw.font = `${Math.min(12, cell * 0.36)}px ${font}`;
      draw.textAlign = "center";
      draw.textBaseline = "middle";
      draw.fillText(value.toFixed(2).replace(/^0/, "").replace("1.00", "1"), x + (cell - gap) / 2, y + (cell - gap) / 2);
    }
  }));
  const step = Math.ceil(14 / cell); // numbers that do not run into each other
  state.order.forEach((line, i) => {
    draw.fillStyle = style.getPropertyValue(line === state.chosen ? "--mark" : "--soft");
    draw.font = `${line === state.chosen ? 600 : 400} 12px ${font}`;
    draw.textBaseline = "middle";
    if (i % step) return;
    draw.textAlign = "center";
    draw.fillText(line + 1, labels + (i + 0.5) * cell, top / 2);
    draw.textAlign = "right";
    draw.fillText(line + 1, labels - 8, top + (i + 0.5) * cell);
    if (labels < 60) return;
    let text = state.lines[line];
    const room = labels - 36;
    while (text.length > 1 && draw.measureText(`${text}…`).width > room) text = text.slice(0, -1);
    if (text.length < state.lines[line].length) text = `${text.trimEnd()}…`;
    draw.textAlign = "left";
    draw.fillText(text, 0, top + (i + 0.5) * cell);
  });
  if (!count) return ($("heat-cell").textContent = "");
  const [row, column] = state.cell;
  draw.strokeStyle = style.getPropertyValue("--mark");
  draw.lineWidth = 2;
  draw.strokeRect(labels + column * cell, top + row * cell, cell - gap, cell - gap);
  const [a, b] = [state.order[row], state.order[column]];
  $("heat-cell").textContent =
    `${values[row][column].toFixed(3)}: line ${named(a)} and line ${named(b)}`;
}

function showMap() {
  const map = $("map");
  map.replaceChildren();
  state.places = [];
  const rows = rowsOf();
  if (!rows.length) return ($("map-point").textContent = "");
  const place = mainAxes(rows);
  const points = rows.map(place);
  const query = state.query && vectors.get(state.query);
  const all = query ? [...points, place(query)] : points;
  const { width, height } = map.getBoundingClientRect();
  map.setAttribute("viewBox", `0 0 ${width} ${height}`);
  // One scale for both directions, so that distances mean something; the points in the middle.
  const ends = [0, 1].map((i) => all.map((point) => point[i])).map((v) => [Math.min(...v), Math.max(...v)]);
  const reach = Math.max(...ends.map(([low, high]) => high - low), 1e-6);
  const scale = (Math.min(width, height) - 64) / reach;
  const at = ([x, y]) => [
    width / 2 + (x - (ends[0][0] + ends[0][1]) / 2) * scale,
    height / 2 - (y - (ends[1][0] + ends[1][1]) / 2) * scale,
  ];
  const [middle, level] = at([0, 0]);
  svg("line", { class: "axis", x1: middle, y1: 0, x2: middle, y2: height }, map);
  svg("line", { class: "axis", x1: 0, y1: level, x2: width, y2: level }, map);
  state.places = points.map(at);
  const taken = state.places.map(([x, y]) => [x - 7, y - 7, x + 7, y + 7]);

  if (query) {
    const [x, y] = at(place(query));
    taken.push([x - 9, y - 9, x + 9, y + 9]);
    const best = rows.reduce((top, row, i) => (dot(row, query) > dot(rows[top], query) ? i : top), 0);
    const [x2, y2] = state.places[best];
    svg("line", { class: "thread", x1: x, y1: y, x2, y2 }, map);
    svg("path", { class: "query", d: `M${x} ${y - 8}l8 8l-8 8l-8-8z` }, map);
  }
  const labelled = [state.chosen, ...points.keys()].filter((i, n, list) => list.indexOf(i) === n);
  for (const i of points.keys()) {
    const [x, y] = state.places[i];
    const classes = i === state.chosen ? "point chosen" : "point";
    const circle = svg("circle", { class: classes, cx: x, cy: y, r: i === state.chosen ? 8 : 6 }, map);
    circle.dataset.line = i;
  }
  for (const i of labelled) placeLabel(map, i, taken, width, height);
  const near = rows
    .map((row, i) => [dot(row, rows[state.chosen]), i])
    .filter(([, i]) => i !== state.chosen)
    .sort((a, b) => b[0] - a[0])[0];
  $("map-point").textContent = `Line ${named(state.chosen)}`
    + (near ? `; most like it: line ${named(near[1])}, ${near[0].toFixed(3)}` : "");
}

/** Write a point's text beside it where nothing else is; leave it out if there is no such place. */
function placeLabel(map, i, taken, width, height) {
  const [x, y] = state.places[i];
  const label = svg("text", {}, map);
  for (const most of [38, 26, 16]) {
    label.textContent = short(state.lines[i], most);
    const wide = label.getComputedTextLength();
    const spots = [[x + 11, y + 4], [x - 11 - wide, y + 4], [x - wide / 2, y - 12], [x - wide / 2, y + 21]];
    for (const [left, base] of spots) {
      const box = [left, base - 11, left + wide, base + 4];
      const inside = box[0] >= 4 && box[1] >= 2 && box[2] <= width - 4 && box[3] <= height - 2;
      const free = taken.every((b) => b[0] > box[2] || b[2] < box[0] || b[1] > box[3] || b[3] < box[1]);
      if (inside && free) {
        taken.push(box);
        label.setAttribute("x", left);
        label.setAttribute("y", base);
        return;
      }
    }
  }
  label.remove();
}

function show() {
  showRanking();
  showHeat();
  showMap();
}

// ---- what people do -----------------------------------------------------------------------------

const readTexts = latest(async () => {
  const all = $("texts").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const lines = all.slice(0, MOST_LINES);
  await embed([...lines, ...(state.query ? [state.query] : [])]);
  return () => {
    state.lines = lines;
    state.order = $("group").checked && lines.length ? chain(rowsOf()) : lines.map((_, i) => i);
    state.chosen = Math.min(state.chosen, Math.max(lines.length - 1, 0));
    state.cell = state.cell.map((i) => Math.min(i, Math.max(lines.length - 1, 0)));
    $("count").textContent = all.length > lines.length
      ? `The first ${MOST_LINES} of ${all.length} lines are shown.`
      : `${lines.length} ${lines.length === 1 ? "line" : "lines"}`;
    show();
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
    const info = await ask("info");
    state.most = info.max_client_batch_size;
    $("facts").textContent = `${info.model_id}, ${info.dimensions} numbers a text, `
      + `${info.model_dtype} on ${info.isa}: made on this server and sent nowhere else.`;
  } catch {
    // The texts' request says what is wrong.
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function moveCell(event) {
  const step = ARROWS[event.key];
  if (!step || !state.lines.length) return;
  event.preventDefault();
  const last = state.lines.length - 1;
  const within = (i) => Math.min(Math.max(i, 0), last);
  state.cell = [within(state.cell[0] + step[1]), within(state.cell[1] + step[0])];
  state.chosen = state.order[state.cell[0]];
  show();
}

function pointCell(event) {
  const labels = Number($("heat").dataset.labels);
  const cell = ($("heat").clientWidth - labels) / state.lines.length;
  const row = Math.floor((event.offsetY - 20) / cell);
  const column = Math.floor((event.offsetX - labels) / cell);
  const last = state.lines.length - 1;
  if (row < 0 || row > last) return;
  state.cell = [row, Math.min(Math.max(column, 0), last)];
  state.chosen = state.order[row];
  show();
}

/** Choose the next point to the left or right, or up or down: so every point can be reached. */
function movePoint(event) {
  const step = ARROWS[event.key];
  if (!step || !state.lines.length) return;
  event.preventDefault();
  const along = step[0] ? 0 : 1;
  const order = state.places.map((_, i) => i);
  order.sort((a, b) => state.places[a][along] - state.places[b][along]);
  const next = order.indexOf(state.chosen) + step[along];
  choose(order[Math.min(Math.max(next, 0), order.length - 1)]);
}

function lineOf(event) {
  const line = event.target.closest("[data-line]")?.dataset.line;
  if (line !== undefined) choose(Number(line));
}

$("texts").value = SAMPLE;
$("texts").addEventListener("input", debounced(250, readTexts));
$("query").addEventListener("input", debounced(60, readQuery));
$("group").addEventListener("change", readTexts);
$("ranking").addEventListener("click", lineOf);
$("map").addEventListener("click", lineOf);
$("map").addEventListener("keydown", movePoint);
$("heat").addEventListener("keydown", moveCell);
$("heat").addEventListener("pointerdown", pointCell);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value;
  readFacts().then(readTexts);
});
window.addEventListener("resize", debounced(100, show));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
readFacts().then(readTexts);
