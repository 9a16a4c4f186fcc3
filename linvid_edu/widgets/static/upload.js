/* A file of the learner's, sent in pieces: JupyterLab drops a message above 10 MB, and the connection with it.
 *
 * Messages to Python: { kind: "start", name, size }, then { kind: "piece" } with one buffer each, then { kind: "end" }.
 * A file above the limit, in bytes, sends its start alone.
 */
const PIECE = 2 ** 20; // bytes

function render({ model, el }) {
  const label = document.createElement("label");
  label.className = "linvid-upload";
  const words = document.createElement("span");
  words.textContent = `a video from this computer, up to ${model.get("limit") / 1e6} MB`;
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "video/*,.avi,.m4v,.mkv,.mov,.mp4,.mpg,.ts,.webm";
  const progress = document.createElement("progress");
  progress.setAttribute("aria-label", "sent");
  progress.hidden = true;
  label.append(words, input);
  el.append(label, progress);

  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    model.send({ kind: "start", name: file.name, size: file.size });
    if (file.size > model.get("limit")) return;
    progress.hidden = false;
    for (let at = 0; at < file.size; at += PIECE) {
      progress.value = at / file.size;
      model.send({ kind: "piece" }, undefined, [await file.slice(at, at + PIECE).arrayBuffer()]);
    }
    progress.hidden = true;
    model.send({ kind: "end" });
    input.value = ""; // the same file may be chosen again, after it has changed
  });
}

export default { render };
