/* A file from the learner's computer, sent in pieces: JupyterLab closes the connection on a message above 10 MB.
 *
 * Messages to Python: { kind: "start", name, size }, then { kind: "piece" } with one buffer each, then { kind: "end" }.
 * For a file above the limit, in bytes, only the start is sent.
 */
const PIECE_BYTES = 2 ** 20;

function render({ model, el }) {
  const label = document.createElement("label");
  label.className = "linvid-upload";
  const caption = document.createElement("span");
  caption.textContent = `a video from this computer, up to ${model.get("limit") / 1e6} MB`;
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "video/*,.avi,.m4v,.mkv,.mov,.mp4,.mpg,.ts,.webm";
  const progress = document.createElement("progress");
  progress.setAttribute("aria-label", "sent");
  progress.hidden = true;
  label.append(caption, input);
  el.append(label, progress);

  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    model.send({ kind: "start", name: file.name, size: file.size });
    if (file.size > model.get("limit")) return;
    progress.hidden = false;
    for (let at = 0; at < file.size; at += PIECE_BYTES) {
      progress.value = at / file.size;
      model.send({ kind: "piece" }, undefined, [await file.slice(at, at + PIECE_BYTES).arrayBuffer()]);
    }
    progress.hidden = true;
    model.send({ kind: "end" });
    input.value = ""; // lets the same file be chosen again after it has changed
  });
}

export default { render };
