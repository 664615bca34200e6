"use strict";
// Draws the page from one state; every change redraws all of it.

const CLASSES = ["A", "B", "C"];
const LIMIT = 10; // the sliders' logits lie within ±LIMIT
const PRESETS = {
  "confidently wrong": {
    z: [-4, 4, 0],
    see: "Nearly all of the probability is on B. Cross-entropy pulls about as hard as it ever does. Squared error after softmax is flat there: softmax passes almost none of its gradient on.",
  },
  undecided: {
    z: [0, 0, 0],
    see: "Every loss raises A, and every arrow points straight at it. They differ in how far it reaches.",
  },
  "on target": {
    z: [1, 0, 0],
    see: "Squared error on raw outputs is at its minimum and stops, although A has only 58% of the probability. Cross-entropy keeps pulling.",
  },
  right: {
    z: [3, -1, -1],
    see: "A has 96%. Cross-entropy lets go; squared error on raw outputs already pushes A back down.",
  },
  "too right": {
    z: [6, -3, -3],
    see: "A has all of the probability, yet squared error on raw outputs pulls hard to bring its score back to 1: it punishes being too right. mse_one_sided does not.",
  },
  shifted: {
    z: [5, 5, 5],
    see: "Undecided again, with 5 added to each logit. Softmax does not see a shift; squared error on raw outputs does, and pulls all three back.",
  },
};
// A setting belongs to one loss, which is shown when it is moved, or to all.
const SETTINGS = {
  eta: {
    label: "Step size η", min: 0.1, max: 1000, log: true, value: 2,
    see: "An arrow goes from z to z − η·gradient. Raise it to 200 where the network is confidently wrong: squared error after softmax moves at last, but towards C, not A.",
  },
  T: {
    label: "Temperature T", min: 0.25, max: 8, log: true, value: 1,
    see: "Each logit is divided by T. Raise it to 2 where the network is confidently wrong: the probabilities soften, squared error after softmax pulls more than twice as hard, and cross-entropy half as hard.",
  },
  epsilon: {
    label: "Label smoothing ε", min: 0, max: 0.6, step: 0.01, value: 0.1, loss: "label_smoothing",
    see: "Being too right costs something now: the lowest point comes in from infinity, to p = 1 − 2ε/3 for A.",
  },
  M: {
    label: "Target scale M", min: 1, max: 15, step: 0.5, value: 4, loss: "rescaled_mse",
    see: "Squared error on raw outputs asks A for M instead of 1: its lowest point moves to M, and it pulls harder on what is wrong.",
  },
  k: {
    label: "True class weight k", min: 1, max: 15, step: 0.5, value: 1, loss: "rescaled_mse",
    see: "The error of A counts k times: its parabola becomes narrower, those of B and C stay.",
  },
  sigma: {
    label: "Gaussian prior σ", min: 0.5, max: 10, log: true, value: 2, loss: "map_gaussian",
    see: "Takes z for A as one weight w, with one example, and adds the parabola w²/(2σ²) (thin line). Narrow it: the lowest point comes in from infinity towards 0.",
  },
  b: {
    label: "Laplace prior b", min: 0.5, max: 10, log: true, value: 2, loss: "map_laplace",
    see: "Adds |w|/b instead, whose slope does not fade near 0. With B and C at 0, narrow it below 1.5: the lowest point is exactly 0.",
  },
  gamma: {
    label: "Focal γ", min: 0, max: 5, step: 0.25, value: 2, loss: "focal",
    see: "The larger γ, the sooner an answer that is nearly right stops pulling; γ = 0 is cross-entropy.",
  },
  q: {
    label: "Generalised q", min: 0.01, max: 1, step: 0.01, value: 0.7, loss: "generalized_cross_entropy",
    see: "From cross-entropy (q → 0) to half the absolute error (q = 1): the pull on what is confidently wrong fades, so wrong labels do less harm.",
  },
};

const state = {
  z: [...PRESETS["confidently wrong"].z],
  shown: new Set(["cross_entropy", "mse", "mse_softmax", "brier"]),
  log: false,
  settings: Object.fromEntries(Object.entries(SETTINGS).map(([key, each]) => [key, each.value])),
};

// --- Building blocks -----------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);

/** Make an element; attributes whose value is a function are listeners. */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}
function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A number as it is printed: −0.032, 4.1·10⁻⁵. */
function formatted(x) {
  if (Math.abs(x) < 5e-13) return "0";
  const size = Math.abs(x);
  const [digits, exponent] = size >= 0.001 && size < 1e5
    ? [x.toFixed(size < 0.1 ? 4 : size < 100 ? 3 : 1)]
    : x.toExponential(1).split("e");
  return digits.replace("-", "−") + (exponent ? `·10${superscript(exponent)}` : "");
}
const superscript = (exponent) =>
  [...String(Number(exponent))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
/** A number to three digits, without trailing zeros. */
const rounded = (x) => String(Number(x.toPrecision(3))).replace("-", "−");
const signed = (x) => x.toFixed(2).replace("-", "−");
const percent = (p) => (p > 0 && p < 0.001 ? "<0.1%" : p < 1 && p > 0.999 ? ">99.9%" : `${(100 * p).toFixed(1)}%`);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** A name that may break after each of its parts. */
function code(name) {
  const parts = name.split("_").flatMap((part, i) => (i ? ["_", make("wbr"), part] : [part]));
  return make("code", {}, ...parts);
}
const line = (name) => ({
  fill: "none", stroke: ABOUT[name].color, "stroke-width": 2, "stroke-dasharray": ABOUT[name].dashes,
});
function marker(name, x, y, size = 10) {
  return draw("path", {
    d: ABOUT[name].marker, transform: `translate(${x} ${y}) scale(${size})`, fill: ABOUT[name].color,
    stroke: "#fff", "stroke-width": 1, "vector-effect": "non-scaling-stroke",
  });
}
function swatch(name) {
  return draw("svg", { class: "swatch", viewBox: "0 0 34 16", "aria-hidden": "true" },
    draw("path", { d: "M0 8H34", ...line(name) }), marker(name, 17, 8));
}

function probabilities(z) {
  return softmax(z.map((each) => jet(each / state.settings.T))).map((each) => each.value);
}
const stepped = (z, gradient, share = 1) =>
  z.map((each, i) => each - share * state.settings.eta * gradient[i]);

/** Change the state, then draw. */
function change(update) {
  update();
  cancelAnimationFrame(change.waiting);
  change.waiting = requestAnimationFrame(render);
}

// --- Controls ------------------------------------------------------------------------------------

function slider(id, label, { min, max, step, log }, value, moved) {
  const [from, to] = log ? [Math.log2, (x) => 2 ** x] : [(x) => x, (x) => x];
  const input = make("input", {
    type: "range", id, min: from(min), max: from(max), step: log ? 0.05 : step, value: from(value),
    input: () => moved(to(input.valueAsNumber)),
  });
  const output = make("output", { for: id });
  const show = (x, text) => {
    input.value = from(x);
    input.setAttribute("aria-valuetext", text);
    output.textContent = text;
  };
  return { row: make("div", { class: "slider" }, make("label", { for: id }, label), input, output), show };
}

const buttons = Object.entries(PRESETS).map(([name, { z }]) =>
  make("button", { type: "button", click: () => change(() => { state.z = [...z]; }) }, name));
$("presets").append(...buttons);

const logits = CLASSES.map((name, i) =>
  slider(`logit-${name}`, i ? name : `${name} (true)`, { min: -LIMIT, max: LIMIT, step: 0.1 }, state.z[i],
    (value) => change(() => { state.z[i] = value; })));
$("logits").append(...logits.map((each) => each.row));

const boxes = Object.fromEntries(Object.keys(ABOUT).map((name) => [name, make("input", {
  type: "checkbox", id: `loss-${name}`,
  change: () => change(() => { state.shown[boxes[name].checked ? "add" : "delete"](name); }),
})]));
$("losses").append(...Object.entries(boxes).map(([name, box]) =>
  make("label", { for: box.id, title: ABOUT[name].title }, box, swatch(name), code(name))));

const settings = Object.entries(SETTINGS).map(([key, each]) => {
  const control = slider(`setting-${key}`, each.label, each, each.value, (value) => change(() => {
    state.settings[key] = value;
    if (each.loss) state.shown.add(each.loss);
  }));
  const about = each.loss ? [code(each.loss), ": "] : [];
  control.row.children[1].setAttribute("aria-describedby", `see-${key}`);
  $("settings").append(make("div", {}, control.row, make("p", { id: `see-${key}` }, ...about, each.see)));
  return [key, control];
});
$("log").addEventListener("change", () => change(() => { state.log = $("log").checked; }));

// --- The simplex ---------------------------------------------------------------------------------

const svg = $("simplex");
const layer = draw("g");
const handle = draw("circle", { id: "handle", r: 22, fill: "transparent" });
svg.append(layer, handle);

/** Corners A (top), B, C of the triangle in an image of this width. */
function corners(width) {
  const side = width - 60, top = 26;
  return [[width / 2, top], [30, top + 0.866 * side], [width - 30, top + 0.866 * side]];
}
const interpolated = (at, p) => [0, 1].map((axis) => at.reduce((total, corner, i) => total + p[i] * corner[axis], 0));

/** The logits of a point in the triangle, with the same mean as before. */
function logitsAt(x, y) {
  const [a, b, c] = corners(svg.clientWidth);
  const pa = (b[1] - y) / (b[1] - a[1]);
  const pc = (x - b[0] - pa * (a[0] - b[0])) / (c[0] - b[0]);
  const logs = [pa, 1 - pa - pc, pc].map((p) => Math.log(clamp(p, 1e-4, 1)));
  const mean = (values) => values.reduce((total, each) => total + each) / 3;
  const [shift, centre] = [mean(state.z), mean(logs)];
  return logs.map((each) => clamp(state.settings.T * (each - centre) + shift, -LIMIT, LIMIT));
}
function moveTo(event) {
  const box = svg.getBoundingClientRect();
  const z = logitsAt(event.clientX - box.left, event.clientY - box.top);
  change(() => { state.z = z; });
}
svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); moveTo(event); });
svg.addEventListener("pointermove", (event) => { if (event.buttons) moveTo(event); });

function drawSimplex(results) {
  const width = svg.clientWidth, at = corners(width);
  svg.setAttribute("height", at[1][1] + 26);
  const place = (p) => interpolated(at, p);
  const path = (points) => `M${points.map((point) => point.map((n) => n.toFixed(1)).join(" ")).join("L")}`;
  const grid = [0.25, 0.5, 0.75].flatMap((s) => [0, 1, 2].map((i) => {
    const one = [0, 0, 0], other = [0, 0, 0];
    one[i] = other[i] = s;
    one[(i + 1) % 3] = other[(i + 2) % 3] = 1 - s;
    return path([place(one), place(other)]);
  }));
  const borders = [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]].map((p) => path([place([1 / 3, 1 / 3, 1 / 3]), place(p)]));
  const text = (x, y, content, anchor) => draw("text", { x, y, "text-anchor": anchor }, content);
  const here = place(probabilities(state.z));
  const arrows = [], short = [];
  for (const [name, { gradient }] of results) {
    // Long steps bend only at their start.
    const route = Array.from({ length: 201 }, (_, n) => place(probabilities(stepped(state.z, gradient, (n / 200) ** 3))));
    const tip = route.at(-1);
    const reach = Math.max(...route.map((point) => Math.hypot(point[0] - here[0], point[1] - here[1])));
    if (reach < 4) {
      short.push(name);
      continue;
    }
    arrows.push(draw("path", { d: path(route), ...line(name) }), arrowHead(route, ABOUT[name].color), marker(name, ...tip, 11));
  }
  layer.replaceChildren(
    draw("path", { d: `${path(at)}Z`, fill: "#fff", stroke: "#595959" }),
    draw("path", { d: grid.join(""), fill: "none", stroke: "#e2e2e2" }),
    draw("path", { d: borders.join(""), fill: "none", stroke: "#8a8a8a", "stroke-dasharray": "2 4" }),
    text(at[0][0], 17, "A, the true class", "middle"), text(at[1][0], at[1][1] + 19, "B", "middle"), text(at[2][0], at[2][1] + 19, "C", "middle"),
    draw("circle", { cx: here[0], cy: here[1], r: 7, fill: "#262626", stroke: "#fff", "stroke-width": 2 }),
    ...arrows,
  );
  handle.setAttribute("cx", here[0]);
  handle.setAttribute("cy", here[1]);
  $("short").replaceChildren(...(short.length ? ["No arrow, as the step is too short to see: ", ...listed(short)] : []));
}
const listed = (names) => names.flatMap((name, i) => (i ? [", ", code(name)] : [code(name)]));

/** A head in the middle of a route, since the loss's marker is at its end. */
function arrowHead(route, color) {
  const lengths = route.map((point, i) => (i ? Math.hypot(point[0] - route[i - 1][0], point[1] - route[i - 1][1]) : 0));
  const half = lengths.reduce((total, each) => total + each) / 2;
  let sum = 0;
  const i = Math.max(1, lengths.findIndex((each) => (sum += each) >= half));
  const angle = Math.atan2(route[i][1] - route[i - 1][1], route[i][0] - route[i - 1][0]) * (180 / Math.PI);
  return draw("path", {
    d: "M6 0L-5 -5L-5 5Z", fill: color, stroke: "#fff", "stroke-width": 0.75,
    transform: `translate(${route[i].join(" ")}) rotate(${angle})`,
  });
}

// --- The curves ----------------------------------------------------------------------------------

const PANELS = [
  { title: "value", key: "value", low: -4, high: 12 },
  { title: "gradient norm", key: "norm", low: 0, high: 6 },
  { title: "least curvature: below 0 not convex", key: "smallest", low: -1, high: 1 },
];

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

function drawCurves(results) {
  const picture = $("curves"), width = picture.clientWidth;
  const left = 46, right = width - 12, tall = width < 420 ? 120 : 145, gap = 32;
  const xs = Array.from({ length: 161 }, (_, i) => -LIMIT + (2 * LIMIT * i) / 160);
  const x = (z) => left + ((z + LIMIT) / (2 * LIMIT)) * (right - left);
  const along = [...results.keys()].map((name) =>
    [name, xs.map((z) => evaluate(name, [z, state.z[1], state.z[2]], state.settings))]);
  const parts = PANELS.flatMap(({ title, key, low, high }, row) => {
    const log = state.log && key === "norm", top = 22 + row * (tall + gap), bottom = top + tall;
    const values = along.flatMap(([, all]) => all.map((each) => each[key]));
    // Bounded, so that one steep loss does not flatten all others.
    const least = log ? -4 : clamp(Math.min(0, ...values), low, 0), most = log ? 1 : clamp(1.05 * Math.max(...values, -Infinity), key === "smallest" ? 0.1 : 1, high);
    const y = (value) => bottom - ((clamp(log ? Math.log10(Math.max(value, 1e-30)) : value, least - 9 * (most - least), most + 9 * (most - least)) - least) / (most - least)) * tall;
    const clip = `panel-${row}`;
    const curve = (points, look) => draw("path", {
      d: `M${points.map((value, i) => `${x(xs[i]).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}`, ...look,
    });
    const marks = [...results].filter(([, each]) => y(each[key]) >= top - 1 && y(each[key]) <= bottom + 1);
    const prior = key === "value" && results.has("map_gaussian")
      ? [curve(xs.map((w) => w ** 2 / (2 * state.settings.sigma ** 2)), { fill: "none", stroke: ABOUT.map_gaussian.color })] : [];
    return [
      draw("text", { x: left, y: top - 7 }, log ? `${title}, logarithmic` : title),
      ...ticks(least, most, log ? 5 : 4).flatMap((value) => {
        const at = log ? y(10 ** value) : y(value);
        const label = log && value < -3 ? `10${superscript(value)}` : rounded(log ? 10 ** value : value);
        return [
          draw("path", { d: `M${left} ${at}H${right}`, stroke: value || log ? "#e8e8e8" : "#8a8a8a" }),
          draw("text", { x: left - 6, y: at + 4, "text-anchor": "end", class: "muted" }, label),
        ];
      }),
      draw("path", { d: `M${x(state.z[0])} ${top}V${bottom}`, stroke: "#595959", "stroke-dasharray": "3 3" }),
      draw("clipPath", { id: clip }, draw("rect", { x: left, y: top - 2, width: right - left, height: tall + 4 })),
      draw("g", { "clip-path": `url(#${clip})` }, ...prior, ...along.map(([name, all]) => curve(all.map((each) => each[key]), line(name)))),
      ...marks.map(([name, each]) => marker(name, x(clamp(state.z[0], -LIMIT, LIMIT)), y(each[key]), 11)),
      ...(row < PANELS.length - 1 ? [] : ticks(-LIMIT, LIMIT, width < 420 ? 5 : 10)).map((value) =>
        draw("text", { x: x(value), y: bottom + 17, "text-anchor": "middle", class: "muted" }, rounded(value))),
    ];
  });
  const height = 22 + PANELS.length * (tall + gap) + 12;
  parts.push(draw("text", { x: (left + right) / 2, y: height - 12, "text-anchor": "middle" }, "z for A, the true class"));
  picture.setAttribute("height", height);
  picture.replaceChildren(...parts);
}

// --- The table -----------------------------------------------------------------------------------

function drawTable(results) {
  const focused = document.activeElement?.dataset.loss;
  $("rows").replaceChildren(...[...results].map(([name, each]) => make("tr", {},
    make("th", { scope: "row" }, make("div", {}, swatch(name), make("span", {}, code(name), make("small", {}, ABOUT[name].formula)))),
    ...[each.value, each.norm, each.smallest, each.largest].map((number) => make("td", {}, formatted(number))),
    make("td", {}, each.gradient.map(formatted).join(", ")),
    make("td", {}, make("button", {
      type: "button", "data-loss": name, "aria-label": `step on ${name}`,
      click: () => change(() => { state.z = stepped(state.z, each.gradient).map((z) => clamp(z, -LIMIT, LIMIT)); }),
    }, "step")))));
  // The button that was pressed has been replaced.
  if (focused) document.querySelector(`[data-loss=${focused}]`)?.focus({ preventScroll: true });
}

/** Which loss pulls most, and which least. */
function pull(results) {
  const [weakest, ...others] = [...results].sort(([, one], [, other]) => one.norm - other.norm);
  if (!others.length) return [];
  const described = ([name, { norm }]) => [code(name), `, with a gradient of norm ${formatted(norm)}`];
  return ["Strongest pull here: ", ...described(others.at(-1)), ". Weakest: ", ...described(weakest), "."];
}

function render() {
  if (!$("curves").clientWidth) return; // not laid out yet
  const results = new Map(Object.keys(ABOUT).filter((name) => state.shown.has(name))
    .map((name) => [name, evaluate(name, state.z, state.settings)]));
  const p = probabilities(state.z);
  logits.forEach((each, i) => each.show(state.z[i], `z ${signed(state.z[i])}, p ${percent(p[i])}`));
  settings.forEach(([key, control]) => control.show(state.settings[key], rounded(state.settings[key])));
  Object.entries(boxes).forEach(([name, box]) => { box.checked = state.shown.has(name); });
  const at = Object.values(PRESETS).findIndex(({ z }) => z.every((each, i) => each === state.z[i]));
  buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === at)));
  const note = at < 0 ? "" : Object.values(PRESETS)[at].see;
  if ($("note").textContent !== note) $("note").textContent = note; // is read aloud
  $("pull").replaceChildren(...(note ? [] : pull(results)));
  drawSimplex(results);
  drawCurves(results);
  drawTable(results);
}

new ResizeObserver(() => change(() => {})).observe($("logits")); // at first, too
