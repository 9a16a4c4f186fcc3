/* The AttentionExplorer: where one token of a clip looks, under up to four models side by side.
 *
 * attentionExplorer(host, source) shows what source.get(name) says: query, compared, block, span, head, direction and
 * scale, and where more models are offered than shown, offered and shown, as the traits of the same names in
 * attention.py. A change goes to source.set(changes), which calls update.
 * Rows come from the features in the browser, or, where none were sent, from source.ask(state, …), a promise.
 *
 * It returns { show(meta, bytes), update(), mark(), say(problem), destroy() }; meta and bytes are what packing.py packs.
 */

import { layersOf, unpack } from "./packing.js";
import { copyPicture, pictureOf, savePicture } from "./picture.js";
import { measures, tokenWeights } from "./rows.js";
import { choice, colorScale, element, filmStrip, placeOf } from "./strip.js";
import { saved } from "./traits.js";

const STATE = ["query", "compared", "block", "span", "head", "direction", "scale"];
const SPANS = { clip: "time and space composed", time: "time", space: "space", joint: "time and space jointly" };
const MOST = 4; // models side by side
const PATIENCE = 4000; // milliseconds that the kernel may take
const HINT = "Click a token. Arrow keys move it, [ and ] change its frame, c pins it to compare, space plays.";
const LOST = "The kernel does not answer. If it was restarted, run the cell again; if it is busy, wait for it.";
const DIRECTIONS = ["query → keys", "key ← queries"];

export function attentionExplorer(host, source) {
  const root = element(host, "div", { class: "lv", "data-lm-suppress-shortcuts": "true" });
  const family = buildFamily();
  const bar = element(root, "div", { class: "lv-controls", role: "group", "aria-label": "What is shown" });
  const alert = element(root, "div", { class: "lv-alert", role: "alert" });
  const seen = element(root, "div", { class: "lv-seen" });
  element(root, "p", { class: "lv-hint" }).textContent = HINT;
  const status = element(root, "div", { class: "lv-status", role: "status" });
  let [meta, film, place, panels, objects, controls, later] = [null, null, null, [], {}, {}, 0];
  const strips = () => [film, ...panels.flatMap((panel) => panel.strips)].filter(Boolean);
  const onPlay = () => (controls.play.textContent = strips().some((strip) => strip.playing) ? "Stop" : "Play");

  function show(newMeta, bytes) {
    [bar, seen].forEach((each) => each.replaceChildren());
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

  /* Offer a choice of models, where there are more than can stand side by side; it stays while they change. */
  function buildFamily() {
    const offered = source.get("offered") || [];
    if (offered.length <= MOST) return [];
    const group = element(root, "fieldset", { class: "lv-family" });
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

  /* Mark the models that are shown; neither a fifth one nor none can be chosen. */
  function mark() {
    const shown = source.get("shown") || [];
    for (const { name, box } of family) {
      box.checked = shown.includes(name);
      box.disabled = box.checked ? shown.length === 1 : shown.length >= MOST;
    }
  }

  function buildControls() {
    const { blocks, heads, spans, joint } = meta.choices;
    const count = (many) => Array.from({ length: many }, (_, i) => i);
    controls = {
      block: choice(bar, "Block", blocks.map((i) => [i, `${i}`])),
      span: choice(bar, "Attention over", spans.map((each) => [each, SPANS[joint ? "joint" : each]])),
      head: choice(bar, "Head", [[null, "mean over heads"], ...count(heads).map((i) => [i, `${i}`])]),
      direction: choice(bar, "Direction", DIRECTIONS.map((each) => [each, each])),
      scale: choice(bar, "Color scale", ["common", "separate"].map((each) => [each, each])),
    };
    for (const [name, control] of Object.entries(controls)) {
      control.addEventListener("change", () => source.set({ [name]: JSON.parse(control.value) }));
    }
    controls.compared = button("Compare", "Pin this token, then move on: both are shown. Shift and click pins any.");
    controls.compared.addEventListener("click", () => {
      source.set({ compared: source.get("compared") ? null : source.get("query") });
    });
    controls.play = button("Play", "Let the query run through the frames.");
    controls.play.addEventListener("click", () => {
      const playing = strips().filter((strip) => strip.playing);
      playing.forEach((strip) => strip.play(false));
      if (!playing.length) film.play(true);
    });
    const told = async (words) => (status.textContent = await words);
    button("Copy PNG").addEventListener("click", () => told(copyPicture(pictureOf(seen))));
    button("Save PNG").addEventListener("click", () => told(savePicture(pictureOf(seen), "attention.png")));
  }

  function button(label, title = "") {
    const made = element(bar, "button", { type: "button", title });
    made.textContent = label;
    return made;
  }

  function buildPanel(section, model, clip, bytes) {
    const heading = element(section, "h3", {});
    element(heading, "span", { class: "lv-print" }).textContent = model.name;
    element(heading, "small", { class: "lv-print lv-note" }).textContent = model.status;
    const panel = { strips: [], hosts: [], layers: [], found: [], model };
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
    panel.table = element(section, "table", {});
    panel.block = (index) => (panel.layers[index] ??= layersOf(model.blocks[index], bytes));
    return panel;
  }

  /* Show the state anew: the tints at once, the numbers when the browser has painted. */
  function update() {
    if (!meta) return;
    const state = Object.fromEntries(STATE.map((name) => [name, source.get(name)]));
    if (![state.query, state.compared].every((token) => !token || inside(token))) return;
    for (const name of Object.keys(state)) {
      if (controls[name] instanceof HTMLSelectElement) controls[name].value = JSON.stringify(state[name]);
    }
    controls.compared.setAttribute("aria-pressed", state.compared !== null);
    const tokens = [state.query, state.compared].filter(Boolean);
    if (meta.inBrowser) paint(state, tokens, panels.map((panel) => tokens.map((token) => found(panel, state, token))));
    else source.ask(state, panels.length, tokens.length).then((rows) => rows && fits(rows) && paint(state, tokens, rows));
  }

  /* Rows that Python sent for other models than those that are seen do not fit. */
  const fits = (rows) => meta && rows[0][0].length === meta.shape[0] * meta.grid[0] * meta.grid[1];

  const inside = (token) => token.every((index, axis) => index < [meta.shape[0], ...meta.grid][axis]);

  function found(panel, { block, span, head, direction }, [frame, row, column]) {
    const token = [frame, row * meta.grid[1] + column];
    return tokenWeights(panel.block(block), span, head, token, direction === DIRECTIONS[1]);
  }

  function paint(state, tokens, rows) {
    const highest = rows.map((each) => Math.max(...each.map(multiple)));
    const common = Math.max(...highest);
    film.show({ query: tokens[0], compared: tokens[1] || null });
    panels.forEach((panel, index) => {
      const top = state.scale === "common" ? common : highest[index];
      panel.found = rows[index];
      panel.scale.set(top, rows[index].some((weights) => weights.some((weight) => weight < 0)));
      panel.hosts[1].hidden = !state.compared;
      tokens.forEach((token, which) => {
        const count = reached(rows[index][which]);
        const [overlay, compared] = [rows[index][which], tokens[1 - which] || null];
        panel.strips[which].show({ query: token, compared, overlay, top: top / count });
      });
    });
    clearTimeout(later);
    later = setTimeout(() => tell(state, tokens));
  }

  function tell(state, tokens) {
    const when = (token) => `${placeOf(token)} at ${meta.times[token[0]].toFixed(2)} s`;
    place.textContent = `${meta.source}: query ${tokens.map(when).join(", compared with ")}`;
    for (const panel of panels) fillTable(panel, state.direction === DIRECTIONS[1]);
  }

  function fillTable(panel, inward) {
    const of = panel.found.map((weights) => measures(weights, objects));
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const line = (name, text) => [name, ...of.map((each) => (each.size > 0 ? text(each) : "no weight"))];
    const lines = [
      line("normalized entropy", (each) => each.entropy.toFixed(4)),
      line(`effective tokens of ${of[0].tokens}`, (each) => each.effective.toFixed(1)),
      line("top 5 % mass", (each) => percent(each.top)),
    ];
    const average = of.every((each) => Math.abs(each.sum - 1) < 1e-3 && each.negative < 1e-4);
    if (inward || !average) lines.push(line("sum (uniform: 1)", (each) => each.sum.toFixed(3)));
    if (of.some((each) => each.negative >= 1e-4)) lines.push(line("negative (red)", (each) => percent(each.negative)));
    for (const name of Object.keys(objects)) {
      lines.push(line(`on ${name} (uniform: ${percent(of[0].on[name].share)})`, ({ on }) => percent(on[name].mass)));
    }
    if (of.length > 1) lines.unshift(["", "query", "compared"]);
    panel.table.replaceChildren();
    for (const [name, ...cells] of lines) {
      const row = element(panel.table, "tr", {});
      element(row, "th", { scope: "row", class: "lv-print" }).textContent = name;
      for (const cell of cells) element(row, "td", { class: "lv-print" }).textContent = cell;
    }
  }

  /* Say for those who do not see colors where the weight is largest. */
  function describe(panel, which) {
    const weights = panel.found[which];
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

/* The number of tokens that weights reach, and their largest weight as a multiple of the uniform one. */
function reached(weights) {
  let count = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i] === weights[i]) count += 1;
  return count;
}

function multiple(weights) {
  let highest = 0;
  for (let i = 0; i < weights.length; i++) if (Math.abs(weights[i]) > highest) highest = Math.abs(weights[i]);
  return highest * reached(weights);
}

/* Connect an explorer with a widget of Python: its traits are the state, its arrays come as a model of their own. */
async function render({ model, el }) {
  let [lost, timer] = ["", 0];
  const say = () => explorer.say([model.get("problem"), lost].filter(Boolean).join(" "));
  const explorer = attentionExplorer(el, {
    get: (name) => model.get(name),
    set(changes) {
      saved(model, changes);
      if (changes.shown) timer = setTimeout(tell, PATIENCE, LOST); // until other arrays come, or a problem
    },
    ask: askKernel(model, tell),
  });
  function tell(words) {
    clearTimeout(timer);
    lost = words;
    say();
  }
  async function load() {
    tell("");
    if (!model.get("packed")) return; // nothing fits, and the alert says why
    const packed = await model.widget_manager.get_model(model.get("packed").replace("IPY_MODEL_", ""));
    const { buffer, byteOffset, byteLength } = packed.get("data");
    explorer.show(packed.get("meta"), new Uint8Array(buffer, byteOffset, byteLength));
  }
  model.on("change:packed", load);
  model.on("change:problem", () => tell(""));
  model.on("change:shown", explorer.mark);
  for (const name of STATE) model.on(`change:${name}`, explorer.update);
  await load();
  return () => explorer.destroy();
}

/* Return a function that asks Python for rows: one question at a time, and of several that wait only the newest. */
function askKernel(model, tell) {
  const asker = Math.random();
  let [waiting, next, timer] = [null, null, 0];
  function send() {
    [waiting, next] = [next, null];
    try {
      model.send({ asker, state: waiting.state });
    } catch {
      waiting = null;
      return tell(LOST);
    }
    timer = setTimeout(() => {
      waiting = null;
      tell(LOST);
    }, PATIENCE);
  }
  model.on("msg:custom", (content, buffers) => {
    if (content.asker !== asker || !waiting) return;
    clearTimeout(timer);
    tell(content.problem);
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
