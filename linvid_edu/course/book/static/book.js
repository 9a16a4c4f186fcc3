// A live figure waits behind a button below its static picture; plotly.js is loaded when the first button is pressed.
"use strict";
(() => {
  const library = new URL("plotly.min.js", document.currentScript.src).href;
  let loading;

  function plotly() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = library;
      script.onload = () => resolve(window.Plotly);
      script.onerror = reject;
      document.head.append(script);
    });
    return loading;
  }

  async function draw(figure) {
    const live = document.createElement("div");
    figure.prepend(live);
    live.className = "live";
    const { data, layout, config } = JSON.parse(figure.querySelector("script").textContent);
    await (await plotly()).newPlot(live, data, layout, config);
    return live;
  }

  async function swap(figure, button) {
    const picture = figure.closest(".output").previousElementSibling;
    let live = figure.querySelector(".live");
    const show = !live || live.hidden;
    live ??= await draw(figure);
    live.hidden = !show;
    if (picture?.matches("img")) picture.hidden = show;
    button.textContent = show ? "Show the picture" : "Show values on hover";
  }

  document.addEventListener("click", ({ target }) => {
    if (target.matches(".live-figure > button")) swap(target.parentElement, target);
  });
})();
