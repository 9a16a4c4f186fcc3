/* A PNG of what an explorer shows: every canvas and picture of an element, and the text of its elements with class lv-print. */

import { element } from "./strip.js";

/* Draw an element onto a canvas of its own, on its own background. */
export function pictureOf(root) {
  const scale = devicePixelRatio || 1;
  const box = root.getBoundingClientRect();
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [box.width, box.height].map((length) => Math.ceil(length * scale));
  const paint = picture.getContext("2d");
  paint.scale(scale, scale);
  paint.fillStyle = getComputedStyle(root).backgroundColor;
  paint.fillRect(0, 0, box.width, box.height);
  paint.textBaseline = "middle";
  for (const part of root.querySelectorAll("canvas, img, .lv-print")) {
    const { left, top, width, height } = part.getBoundingClientRect();
    const [x, y] = [left - box.left, top - box.top];
    if (!width) continue;
    if (!part.classList.contains("lv-print")) {
      paint.drawImage(part, x, y, width, height);
      continue;
    }
    const style = getComputedStyle(part);
    const right = style.textAlign === "right" || style.textAlign === "end";
    paint.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    paint.fillStyle = style.color;
    paint.textAlign = right ? "right" : "left";
    paint.fillText(part.textContent, x + (right ? width : 0), y + height / 2, width);
  }
  return picture;
}

/* Save a canvas as a file, or copy it; return a message about the outcome. */
export async function savePicture(picture, name) {
  const link = element(document.body, "a", { href: picture.toDataURL("image/png"), download: name });
  link.click();
  link.remove();
  return `Saved as ${name}.`;
}

export async function copyPicture(picture) {
  try {
    const blob = new Promise((resolve) => picture.toBlob(resolve, "image/png"));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    return "Copied.";
  } catch {
    return "This browser does not let a page copy pictures: use Save PNG.";
  }
}
