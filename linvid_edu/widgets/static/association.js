/* The AssociationExplorer: where the channels of a token's keys and values come from, and where its own go.
 *
 * meta holds the sizes. data holds, for each "span shift_div" of meta.settings, the index of the source token of every
 * token and channel, −1 for zero. meta.rules has the offset that a channel borrows from if every neighbor exists.
 */

import { choice, element, filmStrip, placeOf } from "./strip.js";
import { saved } from "./traits.js";

const { state: STATE, spans, flows, nothing: NOTHING, neighborWords } = SHARED.association;
const SPANS = { space: "space: borrows from frames", time: "time: borrows from places", joint: "joint: from both" };
const FLOWS = { arrives: "what the lit token gets", leaves: "which tokens get its channels" };
const ARROWS = { "-1 0": "↑", "1 0": "↓", "0 -1": "←", "0 1": "→", "-1 -1": "↖", "-1 1": "↗", "1 -1": "↙", "1 1": "↘" };

export function associationExplorer(host, { get, set }) {
  const { frames, grid, width, heads, settings, rules, divisors } = get("meta");
  const [rows, columns] = grid;
  const size = frames * rows * columns * width;
  const bytes = get("data");
  const numbers = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4 * size * settings.length));
  const root = element(host, "div", { class: "lv", "data-lm-suppress-shortcuts": "true" });
  const bar = element(root, "div", { class: "lv-controls", role: "group", "aria-label": "What is shown" });
  const seen = element(root, "div", { class: "lv-seen" });
  const place = element(seen, "p", { class: "lv-place" });
  let summary = "";
  const controls = {
    span: choice(bar, "Attention over", spans.map((span) => [span, SPANS[span]])),
    shift_div: choice(bar, "shift_div", divisors.map((divisor) => [divisor, `${divisor}`])),
    direction: choice(bar, "Direction", flows.map((flow) => [flow, FLOWS[flow]])),
  };
  const film = filmStrip(element(seen, "div", {}), {
    pixels: new Uint8Array(frames * rows * columns * 3).fill(40),
    shape: [frames, rows, columns],
    grid,
    label: "tokens of a clip, the picked one is lit",
    onPick: (query) => set({ query }),
    describe: () => summary,
  });
  const table = element(element(seen, "div", { class: "lv-wide" }), "table", { class: "lv-channels" });
  const groups = element(seen, "ul", { class: "lv-groups" });
  element(root, "p", { class: "lv-hint" }).textContent =
    "Click a token. Arrow keys move it, [ and ] change its frame, space plays. Brighter: more of the channels.";

  for (const [name, control] of Object.entries(controls)) {
    control.addEventListener("change", () => set({ [name]: JSON.parse(control.value) }));
  }

  const number = ([frame, row, column]) => (frame * rows + row) * columns + column;
  const token = (i) => [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];

  function update() {
    const state = Object.fromEntries(STATE.map((name) => [name, get(name)]));
    for (const [name, control] of Object.entries(controls)) control.value = JSON.stringify(state[name]);
    const setting = `${state.span} ${state.shift_div}`;
    const start = settings.indexOf(setting) * size;
    const from = numbers.subarray(start, start + size);
    const own = number(state.query);
    const leaves = state.direction === "leaves";
    const pairs = leaves ? receivers(from, own) : senders(from, own);
    const overlay = new Float32Array(frames * rows * columns);
    for (const [other] of pairs) if (other !== NOTHING) overlay[other] += 1 / width;
    film.show({ query: state.query, overlay, top: Math.max(...overlay) || 1 });
    const cells = cellsOf(from, own, rules[setting]);
    fillTable(cells);
    fillGroups(pairs, cells, leaves);
    const zeros = cells.filter((cell) => cell.kind === "zero").length;
    const kept = cells.filter((cell) => cell.kind === "kept").length;
    summary =
      `Of its ${width} channels ` +
      `${cells.filter((cell) => cell.kind === "own").length} are its own by rule, ${kept} are its own because the ` +
      `neighbor lies outside, and ${zeros} are zero because the neighbor lies outside.`;
    place.textContent = `Lit: ${placeOf(state.query)}. ${summary}`;
  }

  /* Return pairs of a channel of the lit token, last, and the token that it comes from, −1 for zero. */
  function senders(from, own) {
    return Array.from(from.subarray(own * width, (own + 1) * width), (source, channel) => [source, channel]);
  }

  /* Return pairs of a channel, last, and the token that gets it from the lit token. */
  function receivers(from, own) {
    const pairs = [];
    for (let i = 0; i < from.length; i++) if (from[i] === own) pairs.push([Math.floor(i / width), i % width]);
    return pairs;
  }

  function cellsOf(from, own, rule) {
    return senders(from, own).map(([source, channel]) => {
      if (source === NOTHING) return { kind: "zero", sign: "0", words: "zero: the neighbor lies outside" };
      const lit = token(own);
      const offset = token(source).map((index, axis) => index - lit[axis]);
      const same = offset.every((step, axis) => step === rule[channel][axis]);
      const kind = same ? kindOf(offset) : "kept";
      const words = inWords(offset) + (same ? "" : ", kept: the neighbor lies outside");
      return { kind, sign: same ? signOf(offset) : "=", words };
    });
  }

  function fillTable(cells) {
    table.replaceChildren();
    element(table, "caption", {}).textContent = "Channels of the lit token, one row for each head";
    for (let head = 0; head < heads; head++) {
      const row = element(table, "tr", {});
      element(row, "th", { scope: "row" }).textContent = `head ${head}`;
      for (let index = 0; index < width / heads; index++) {
        const channel = (head * width) / heads + index;
        const { kind, sign, words } = cells[channel];
        const title = `channel ${channel}: ${words}`;
        element(row, "td", { class: `lv-${kind}`, title, "aria-label": title }).textContent = sign;
      }
    }
  }

  /* List consecutive channels that have the same other token in one line. */
  function fillGroups(pairs, cells, leaves) {
    groups.replaceChildren();
    const sorted = leaves ? [...pairs].sort(([a, i], [b, j]) => a - b || i - j) : pairs;
    let group = null;
    const close = () => {
      if (!group) return;
      const channels = group.first === group.last ? `channel ${group.first}` : `channels ${group.first} to ${group.last}`;
      const other = group.other === NOTHING ? "" : ` ${leaves ? "to" : "from"} ${placeOf(token(group.other))}`;
      const words = leaves ? "" : ` (${cells[group.first].words})`;
      element(groups, "li", {}).textContent = `${channels}:${other}${words}`;
    };
    for (const [other, channel] of sorted) {
      const words = leaves ? "" : cells[channel].words;
      if (group && group.other === other && group.last === channel - 1 && group.words === words) group.last = channel;
      else {
        close();
        group = { other, first: channel, last: channel, words };
      }
    }
    close();
  }

  return { update, destroy: () => (film.destroy(), root.remove()) };
}

function kindOf([frame, row, column]) {
  if (row || column) return frame ? "both" : "place";
  return frame ? (frame > 0 ? "next" : "previous") : "own";
}

function signOf([frame, row, column]) {
  const time = frame ? (frame > 0 ? "+1" : "−1") : "";
  return time + (ARROWS[`${row} ${column}`] || "") || "·";
}

function inWords(offset) {
  return offset.map((step, axis) => step && neighborWords[step][axis]).filter(Boolean).join(", ") || "itself";
}

function render({ model, el }) {
  const explorer = associationExplorer(el, {
    get: (name) => model.get(name),
    set: (changes) => saved(model, changes),
  });
  for (const name of STATE) model.on(`change:${name}`, explorer.update);
  explorer.update();
  return () => explorer.destroy();
}

export default { render };
