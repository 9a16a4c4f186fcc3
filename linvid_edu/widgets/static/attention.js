/* The AttentionExplorer: where one token of a clip looks, under up to four models side by side.
 *
 * attentionExplorer(host, source) shows what source.get(name) returns for the names in SHARED.attention.state, the traits
 * of the same names in attention.py; if more models are offered than shown, also for "offered" and "shown". A change goes
 * to source.set(changes), which calls update. Rows come from the features in the browser, or, if none were sent, from
 * source.ask(state, …), a promise.
 *
 * It returns { show(meta, bytes), update(), mark(), say(problem), destroy() }; meta and bytes are what packing.py packs.
 */

import { layersOf, unpack } from "./packing.js";
import { copyPicture, pictureOf, savePicture } from "./picture.js";
import { measures, tokenWeights } from "./rows.js";
import { choice, colorScale, element, filmStrip, placeOf } from "./strip.js";
import { saved } from "./traits.js";

const { state: STATE, directions: DIRECTIONS, scales: SCALES, mostModels: MOST } = SHARED.attention;
const SPANS = { clip: "time and space composed", time: "time", space: "space", joint: "time and space jointly" };
const KERNEL_MILLISECONDS = 4000; // after which the kernel counts as lost
const HINT = "Click a token. Arrow keys move it, [ and ] change its frame, c pins it to compare, space plays.";
const TOUCH_HINT = "Tap a token. The arrows move it, ◂ and ▸ change its frame.";
const PAD = [
  ["ArrowLeft", "←", "left"],
  ["ArrowUp", "↑", "up"],
  ["ArrowDown", "↓", "down"],
  ["ArrowRight", "→", "right"],
  ["[", "◂", "previous frame"],
  ["]", "▸", "next frame"],
];
const PINNED = "This token is pinned: now move on, and both are shown.";
const LOST = "The kernel does not answer. If it was restarted, run the cell again; if it is busy, wait for it.";

export function attentionExplorer(host, source) {
  const root = element(host, "div", { class: "lv", "data-lm-suppress-shortcuts": "true" });
  const modelBoxes = buildModelBoxes();
  const bar = element(root, "div", { class: "lv-controls", role: "group", "aria-label": "What is shown" });
  const alert = element(root, "div", { class: "lv-alert", role: "alert" });
  const seen = element(root, "div", { class: "lv-seen" });
  buildPad();
  element(root, "p", { class: "lv-hint" }).textContent = matchMedia("(pointer: coarse)").matches ? TOUCH_HINT : HINT;
  const status = element(root, "div", { class: "lv-status", role: "status" });
  let [meta, film, place, panels, objects, controls, later] = [null, null, null, [], {}, {}, 0];
  const strips = () => [film, ...panels.flatMap((panel) => panel.strips)].filter(Boolean);
  const onPlay = () => (controls.play.textContent = strips().some((strip) => strip.playing) ? "Stop" : "Play");

  function show(newMeta, bytes) {
    [bar, seen].forEach((area) => area.replaceChildren());
    strips().forEach((strip) => strip.destroy());
    meta = newMeta;
    objects = Object.fromEntries(meta.objects.map(([name, part]) => [name, unpack(bytes, part)]));
    const clip = { pixels: unpack(bytes, meta.pixels), shape: meta.shape, grid: meta.grid, times: meta.times };
    buildControls();
    place = element(seen, "p", { class: "lv-place lv-print" });
    const onPick = (token, { compare }) => source.set({ [compare ? "compared" : "query"]: token });
    film = filmStrip(element(seen, "div", {}), { ...clip, label: "the clip", onPick, onPlay });
    const side = element(seen, "div", { class: "lv-panels" });
    panels = meta.models.map((model) => buildPanel(element(side, "section", {}), model, clip, bytes));
    update();
  }

  /* Offer a choice of models if there are more than can stand side by side; it stays while they change. */
  function buildModelBoxes() {
    const offered = source.get("offered") || [];
    if (offered.length <= MOST) return [];
    const group = element(root, "fieldset", { class: "lv-models" });
    element(group, "legend", {}).textContent = `Models, ${MOST} at most`;
    const boxes = offered.map((name) => {
      const label = element(group, "label", {});
      const box = element(label, "input", { type: "checkbox" });
      label.append(name);
      return { name, box };
    });
    const chosen = () => boxes.filter(({ box }) => box.checked).map(({ name }) => name);
    boxes.forEach(({ box }) => box.addEventListener("change", () => source.set({ shown: chosen() })));
    return boxes;
  }

  /* Offer buttons in place of the keys, which explorer.css shows on touch screens. */
  function buildPad() {
    const pad = element(root, "div", { class: "lv-pad", role: "group", "aria-label": "Move the token" });
    for (const [key, text, name] of PAD) {
      const control = element(pad, "button", { type: "button", "aria-label": name });
      control.textContent = text;
      control.addEventListener("click", () => film?.press(key));
    }
  }

  /* Check the boxes of the models that are shown; a fifth one cannot be added, nor the last one removed. */
  function mark() {
    const shown = source.get("shown") || [];
    for (const { name, box } of modelBoxes) {
      box.checked = shown.includes(name);
      box.disabled = box.checked ? shown.length === 1 : shown.length >= MOST;
    }
  }

  function buildControls() {
    const { blocks, heads, spans, joint } = meta.choices;
    const range = (count) => Array.from({ length: count }, (_, i) => i);
    controls = {
      block: choice(bar, "Block", blocks.map((i) => [i, `${i}`])),
      span: choice(bar, "Attention over", spans.map((span) => [span, SPANS[joint ? "joint" : span]])),
      head: choice(bar, "Head", [[null, "mean over heads"], ...range(heads).map((i) => [i, `${i}`])]),
      direction: choice(bar, "Direction", DIRECTIONS.map((direction) => [direction, direction])),
      scale: choice(bar, "Color scale", SCALES.map((scale) => [scale, scale])),
    };
    for (const [name, control] of Object.entries(controls)) {
      control.addEventListener("change", () => source.set({ [name]: JSON.parse(control.value) }));
    }
    controls.compared = button("Compare", "Pin this token, then move on: both are shown. Shift + click pins any token.");
    controls.compared.addEventListener("click", () => {
      source.set({ compared: source.get("compared") ? null : source.get("query") });
    });
    controls.play = button("Play", "Let the query run through the frames.");
    controls.play.addEventListener("click", () => {
      const playing = strips().filter((strip) => strip.playing);
      playing.forEach((strip) => strip.play(false));
      if (!playing.length) film.play(true);
    });
    const report = async (outcome) => (status.textContent = await outcome);
    button("Copy PNG").addEventListener("click", () => report(copyPicture(pictureOf(seen))));
    button("Save PNG").addEventListener("click", () => report(savePicture(pictureOf(seen), "attention.png")));
  }

  function button(label, title = "") {
    const control = element(bar, "button", { type: "button", title });
    control.textContent = label;
    return control;
  }

  function buildPanel(section, model, clip, bytes) {
    const heading = element(section, "h3", {});
    element(heading, "span", { class: "lv-print" }).textContent = model.name;
    element(heading, "small", { class: "lv-print lv-note" }).textContent = model.status;
    const panel = { strips: [], hosts: [], layers: [], rows: [], model };
    ["query", "compared"].forEach((which) => {
      panel.hosts.push(element(section, "div", { class: `lv-of-${which}` }));
      const options = {
        ...clip,
        label: `${model.name}: attention of the ${which === "query" ? "query" : "compared"} token`,
        describe: () => describe(panel, which === "query" ? 0 : 1),
        onPick: (token, { compare }) => source.set({ [compare ? "compared" : which]: token }),
        onPlay,
      };
      panel.strips.push(filmStrip(panel.hosts.at(-1), options));
    });
    panel.scale = colorScale(element(section, "div", {}), "× uniform");
    panel.recolored = model.recolored ? recoloredFrame(section, model) : () => {};
    panel.table = element(section, "table", {});
    panel.block = (index) => (panel.layers[index] ??= layersOf(model.blocks[index], bytes));
    return panel;
  }

  /* Show the present state: the tints at once, the numbers after the browser has painted. */
  function update() {
    if (!meta) return;
    const state = Object.fromEntries(STATE.map((name) => [name, source.get(name)]));
    if (![state.query, state.compared].every((token) => !token || inside(token))) return;
    for (const name of Object.keys(state)) {
      if (controls[name] instanceof HTMLSelectElement) controls[name].value = JSON.stringify(state[name]);
    }
    controls.compared.setAttribute("aria-pressed", state.compared !== null);
    const tokens = [state.query, state.compared].filter(Boolean);
    if (meta.inBrowser) paint(state, tokens, panels.map((panel) => tokens.map((token) => rowOf(panel, state, token))));
    else source.ask(state, panels.length, tokens.length).then((rows) => rows && fits(rows) && paint(state, tokens, rows));
  }

  /* Rows that Python sent for another clip, which has gone meanwhile, do not fit. */
  const fits = (rows) => meta && rows[0][0].length === meta.shape[0] * meta.grid[0] * meta.grid[1];

  const inside = (token) => token.every((index, axis) => index < [meta.shape[0], ...meta.grid][axis]);

  function rowOf(panel, { block, span, head, direction }, [frame, row, column]) {
    const token = [frame, row * meta.grid[1] + column];
    const known = panel.model.recolored ? panel.model.recolored.known : null;
    return tokenWeights(panel.block(block), span, head, token, direction === DIRECTIONS[1], known);
  }

  function paint(state, tokens, rows) {
    const highest = rows.map((ofModel) => Math.max(...ofModel.map(multiple)));
    const common = Math.max(...highest);
    film.show({ query: tokens[0], compared: tokens[1] || null });
    panels.forEach((panel, index) => {
      const top = state.scale === "common" ? common : highest[index];
      panel.rows = rows[index];
      panel.scale.set(top, rows[index].some((weights) => weights.some((weight) => weight < 0)));
      panel.hosts[1].hidden = !state.compared;
      panel.recolored(tokens[0][0]);
      tokens.forEach((token, which) => {
        const count = countReached(rows[index][which]);
        const [overlay, compared] = [rows[index][which], tokens[1 - which] || null];
        panel.strips[which].show({ query: token, compared, overlay, top: top / count });
      });
    });
    clearTimeout(later);
    later = setTimeout(() => showNumbers(state, tokens));
  }

  function showNumbers(state, tokens) {
    const when = (token) => `${placeOf(token)} at ${meta.times[token[0]].toFixed(2)} s`;
    place.textContent = `${meta.source}: query ${tokens.map(when).join(", compared with ")}`;
    status.textContent = tokens.length > 1 && `${tokens[0]}` === `${tokens[1]}` ? PINNED : "";
    for (const panel of panels) fillTable(panel, state.direction === DIRECTIONS[1]);
  }

  function fillTable(panel, inward) {
    const columns = panel.rows.map((weights) => measures(weights, objects));
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const line = (name, text) => [name, ...columns.map((numbers) => (numbers.size > 0 ? text(numbers) : "no weight"))];
    const lines = [
      line("normalized entropy", ({ entropy }) => entropy.toFixed(4)),
      line(`effective tokens of ${columns[0].tokens}`, ({ effective }) => effective.toFixed(1)),
      line("top 5 % mass", ({ top }) => percent(top)),
    ];
    const average = columns.every(({ sum, negative }) => Math.abs(sum - 1) < 1e-3 && negative < 1e-4);
    if (inward || !average) lines.push(line("sum (uniform: 1)", ({ sum }) => sum.toFixed(3)));
    if (columns.some(({ negative }) => negative >= 1e-4)) {
      lines.push(line("negative (red)", ({ negative }) => percent(negative)));
    }
    for (const name of Object.keys(objects)) {
      lines.push(line(`on ${name} (uniform: ${percent(columns[0].on[name].share)})`, ({ on }) => percent(on[name].mass)));
    }
    if (columns.length > 1) lines.unshift(["", "query", "compared"]);
    panel.table.replaceChildren();
    for (const [name, ...cells] of lines) {
      const row = element(panel.table, "tr", {});
      element(row, "th", { scope: "row", class: "lv-print" }).textContent = name;
      for (const cell of cells) element(row, "td", { class: "lv-print" }).textContent = cell;
    }
  }

  /* Describe where the weight is largest, for readers who do not see the colors. */
  function describe(panel, which) {
    const weights = panel.rows[which];
    if (!weights) return "";
    let best = -1;
    weights.forEach((weight, i) => (best = Math.abs(weight) > Math.abs(weights[best] ?? 0) ? i : best));
    if (best < 0) return "";
    const [n, columns] = [meta.grid[0] * meta.grid[1], meta.grid[1]];
    const token = [Math.floor(best / n), Math.floor((best % n) / columns), best % columns];
    return `largest weight at ${placeOf(token)}, ${multiple(weights).toPrecision(3)} times uniform`;
  }

  mark();
  return {
    show,
    update,
    mark,
    say: (problem) => (alert.textContent = problem),
    destroy() {
      strips().forEach((strip) => strip.destroy());
      clearTimeout(later);
      root.remove();
    },
  };
}

/* Show one frame as a color model colors it; returns a function that takes the frame's number. */
function recoloredFrame(host, { name, recolored: { known, pictures, errors } }) {
  const figure = element(host, "figure", { class: "lv-recolored" });
  const image = element(figure, "img", {});
  const caption = element(figure, "figcaption", { class: "lv-print" });
  return (frame) => {
    image.src = pictures[frame];
    const colored = `frame ${frame}, colored by ${name}: error ${errors[frame].toFixed(2)} (mean color: 1)`;
    caption.textContent = frame === known ? `frame ${frame}: its colors are known` : colored;
    image.alt = caption.textContent;
  };
}

/* Count the tokens that a map reaches. */
function countReached(weights) {
  let count = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i] === weights[i]) count += 1;
  return count;
}

/* Return the largest weight as a multiple of the uniform one. */
function multiple(weights) {
  let highest = 0;
  for (let i = 0; i < weights.length; i++) if (Math.abs(weights[i]) > highest) highest = Math.abs(weights[i]);
  return highest * countReached(weights);
}

/* Connect an explorer with a widget of Python: its traits are the state, and its arrays are a model of their own. */
async function render({ model, el }) {
  let [lost, timer] = ["", 0];
  const say = () => explorer.say([model.get("problem"), lost].filter(Boolean).join(" "));
  const explorer = attentionExplorer(el, {
    get: (name) => model.get(name),
    set(changes) {
      saved(model, changes);
      // other models bring other arrays, or a problem
      if (changes.shown) timer = setTimeout(report, KERNEL_MILLISECONDS, LOST);
    },
    ask: askKernel(model, report),
  });
  function report(problem) {
    clearTimeout(timer);
    lost = problem;
    say();
  }
  async function load() {
    report("");
    if (!model.get("packed")) return; // nothing fits, and the alert says why
    const packed = await model.widget_manager.get_model(model.get("packed").replace("IPY_MODEL_", ""));
    const { buffer, byteOffset, byteLength } = packed.get("data");
    explorer.show(packed.get("meta"), new Uint8Array(buffer, byteOffset, byteLength));
  }
  model.on("change:packed", load);
  model.on("change:problem", () => report(""));
  model.on("change:shown", explorer.mark);
  for (const name of STATE) model.on(`change:${name}`, explorer.update);
  await load();
  return () => explorer.destroy();
}

/* Return a function that asks Python for rows: one question at a time, and of those that wait only the newest. */
function askKernel(model, report) {
  const client = Math.random();
  let [waiting, next, timer] = [null, null, 0];
  function send() {
    [waiting, next] = [next, null];
    try {
      model.send({ client, state: waiting.state });
    } catch {
      waiting = null;
      return report(LOST);
    }
    timer = setTimeout(() => {
      waiting = null;
      report(LOST);
    }, KERNEL_MILLISECONDS);
  }
  model.on("msg:custom", (content, buffers) => {
    if (content.client !== client || !waiting) return;
    clearTimeout(timer);
    report(content.problem);
    waiting.resolve(content.problem ? null : rowsOf(buffers[0], waiting.models, waiting.tokens));
    waiting = null;
    if (next) send();
  });
  return (state, models, tokens) =>
    new Promise((resolve) => {
      next = { state, models, tokens, resolve };
      if (!waiting) send();
    });
}

function rowsOf({ buffer, byteOffset, byteLength }, models, tokens) {
  const numbers = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const size = numbers.length / (models * tokens);
  const row = (i) => numbers.subarray(i * size, (i + 1) * size);
  const range = (count) => Array.from({ length: count }, (_, i) => i);
  return range(models).map((model) => range(tokens).map((token) => row(model * tokens + token)));
}

export default { render };
