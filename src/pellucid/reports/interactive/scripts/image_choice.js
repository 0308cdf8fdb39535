/* Which image is followed, which one it is compared with, how, and for which class. */

function createImageChoice(app, host) {
  const { tree } = app;
  const strip = html("fieldset", { class: "images" }, host);
  html("legend", {}, strip, "Follow an image (✓ right and ✗ wrong ones are chosen, not in proportion)");
  const row = html("div", {}, strip);
  const tools = html("div", { class: "tools" }, host);
  const mode = segments(tools, "Answer by", [["greedy", "one path"], ["soft", "all paths, mixed"]],
    (value) => app.change({ soft: value === "soft" }));
  const other = choice(tools, "Compare with", [["", "no other image"]],
    (value) => app.change({ other: value === "" ? null : Number(value) }));
  const chosenClass = choice(tools, "Class",
    [["", "all classes"], ...tree.classes.map((name, k) => [k, name])],
    (value) => app.change({ chosenClass: value === "" ? null : Number(value) }));
  const runnerUp = switchBox(tools, "runner-up's path", (checked) => app.change({ showsRunnerUp: checked }));
  const said = html("p", { class: "note", role: "status" }, host);
  const inputs = new Map();
  let drawn = null;

  const isOffered = (image, index) => {
    const k = app.state.chosenClass;
    return k === null || image.true_class === tree.classes[k] || app.answer(index).prediction === k;
  };

  function drawStrip() {
    const key = `${app.images.length} ${app.state.chosenClass}`;
    if (key === drawn) return;
    drawn = key;
    const hadFocus = row.contains(document.activeElement);
    row.replaceChildren();
    inputs.clear();
    addThumbnail(null, null);
    const own = app.images.length - app.embeddedCount; // the reader's own come first, the last at the front
    const order = app.images.map((_, i) => (i < own ? app.images.length - 1 - i : i - own));
    for (const index of order) {
      const image = app.images[index];
      if (isOffered(image, index) || index === app.state.image) addThumbnail(index, image);
    }
    other.replaceChildren();
    html("option", { value: "" }, other, "no other image");
    app.images.forEach((image, index) => {
      html("option", { value: index }, other, `${image.name}: ${image.true_class ?? "your image"}`);
    });
    if (hadFocus) inputs.get(app.state.image)?.focus();
  }

  function addThumbnail(index, image) {
    const label = html("label", { class: "thumbnail" }, row);
    const input = html("input", { type: "radio", name: "image" }, label);
    const body = html("span", { class: "body" }, label);
    inputs.set(index, input);
    input.addEventListener("change", () => app.change({ image: index }));
    if (!image) {
      html("span", { class: "none" }, body, "none");
      return;
    }
    const answer = app.answer(index);
    const name = tree.classes[answer.prediction];
    const right = image.true_class === null ? null : image.true_class === name;
    const said = right === null ? "" : right ? ", right" : `, wrong: labelled ${image.true_class}`;
    label.setAttribute("title", `${image.name}: answered ${name}${said}`);
    showBoxed(body, image, null, 48);
    html("span", { class: `verdict-mark ${right === false ? "wrong" : "right"}`, "aria-hidden": "true" }, body,
      right === null ? "" : right ? "✓" : "✗");
    html("span", { class: "name", "aria-hidden": "true" }, body, name);
    html("span", { class: "hidden" }, body, `${image.name}: answered ${name}${said}`);
  }

  function draw() {
    const { state } = app;
    for (const part of [strip, mode.set, other.parentElement, runnerUp.parentElement]) {
      part.hidden = app.images.length === 0;
    }
    drawStrip();
    (inputs.get(state.image) ?? inputs.get(null)).checked = true;
    reveal(inputs.get(state.image));
    for (const [index, input] of inputs) {
      input.parentElement.classList.toggle("second", index !== null && index === state.other);
    }
    mode.select(state.soft ? "soft" : "greedy");
    mode.set.disabled = state.image === null;
    other.value = state.other === null ? "" : String(state.other);
    other.disabled = state.image === null || app.images.length < 2;
    for (const option of other.options) option.disabled = option.value === String(state.image);
    chosenClass.value = state.chosenClass === null ? "" : String(state.chosenClass);
    runnerUp.checked = state.showsRunnerUp;
    runnerUp.disabled = state.image === null;
    said.textContent = describe();
  }

  /* On a narrow screen the row scrolls by itself; the page stays where it is. */
  function reveal(input) {
    if (!input) return;
    const { offsetLeft, offsetWidth } = input.parentElement;
    const left = offsetLeft - row.offsetLeft;
    if (left < row.scrollLeft) row.scrollLeft = left - 8;
    else if (left + offsetWidth > row.scrollLeft + row.clientWidth) {
      row.scrollLeft = left + offsetWidth + 8 - row.clientWidth;
    }
  }

  /* What just changed, in words: shown, and read out. */
  function describe() {
    const { state } = app, parts = [];
    if (state.chosenClass !== null) {
      const k = state.chosenClass, name = tree.classes[k];
      const leaves = tree.majority.filter((best) => best === k).length;
      const prototypes = tree.prototypes.filter((shown) => shown?.class === name).length;
      const images = app.images.filter((image, index) => isOffered(image, index)).length;
      parts.push(`${isolate(name)}: ${writeCount(leaves, "leaf answers", "leaves answer")} with it, `
        + `${writeCount(prototypes, "prototype is", "prototypes are")} from its pictures, `
        + `${writeCount(images, "image")} to follow.`);
    }
    if (state.image !== null) {
      const image = app.images[state.image], answer = app.answer(state.image);
      parts.push(state.soft
        ? `${isolate(image.name)}: all paths mixed answer ${isolate(tree.classes[answer.softPrediction])} (${writePercent(answer.mixture[answer.softPrediction])}). An edge is as thick as the image is likely to go there.`
        : `${isolate(image.name)}: ${writeCount(answer.path.length, "branch leads", "branches lead")} to leaf ${answer.leaf}, which answers ${isolate(tree.classes[answer.prediction])}.`);
    }
    return parts.join(" ");
  }
  return { draw };
}
