/* The AttentionExplorer on a page of its own: state and arrays stand in the page, and nothing else is needed. */

import { attentionExplorer } from "./attention.js";
import { fromBase64 } from "./packing.js";

const { state, meta } = JSON.parse(document.getElementById("explorer-state").textContent);
const explorer = attentionExplorer(document.getElementById("explorer"), {
  get: (name) => state[name],
  set(changes) {
    Object.assign(state, changes);
    explorer.update();
  },
});
explorer.show(meta, fromBase64(document.getElementById("explorer-arrays").textContent));
