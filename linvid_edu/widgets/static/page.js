/* The AttentionExplorer on a page of its own, which contains the state and the arrays and needs nothing else. */

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
