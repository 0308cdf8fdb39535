/* The drawing of the tree as a file: SVG with its pictures and colors inside, or PNG. */

const PNG_SCALE = 2;
const PNG_SIDE_PX = 12000;
const PNG_PIXELS = 6e7;

/* The drawing at natural size as text that needs no page: styles and pictures come along. */
function exportDrawing(view) {
  const [width, height] = view.size;
  const copy = view.drawing.cloneNode(true);
  copy.setAttribute("xmlns", SVG_NAMESPACE);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  for (const mark of copy.querySelectorAll(".fold-mark")) mark.remove();
  const used = new Set([...copy.querySelectorAll("use")].map((use) => use.getAttribute("href")));
  const pictureDefinitions = svg("defs", {});
  for (const id of used) pictureDefinitions.append(document.querySelector(id).cloneNode(true));
  const style = svg("style", {}, null, collectStyles());
  const page = svg("rect", { width, height, fill: readColor("--page") });
  copy.prepend(style, pictureDefinitions, page);
  return new XMLSerializer().serializeToString(copy);
}

const readColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/* The rules of the page for the drawing, with the colors of the present scheme. */
function collectStyles() {
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
    .filter((rule) => rule.selectorText && /\.forest|\.box-|^\.(k\d|kx|track|px)\b/.test(rule.selectorText)
      && !/:(hover|focus)/.test(rule.selectorText))
    .map((rule) => rule.cssText.replace(/var\((--[\w-]+)\)/g, (_, name) => readColor(name)));
  return `.forest { font-family: system-ui, sans-serif; }\n${rules.join("\n")}`;
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = html("a", { href: address, download: name }, document.body);
  link.hidden = true;
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function saveSvg(view) {
  save(new Blob([exportDrawing(view)], { type: "image/svg+xml" }), "tree.svg");
}

async function savePng(view) {
  const [width, height] = view.size;
  const scale = Math.min(PNG_SCALE, PNG_SIDE_PX / Math.max(width, height), Math.sqrt(PNG_PIXELS / (width * height)));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(exportDrawing(view))}`;
  await image.decode();
  const canvas = html("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  save(blob, "tree.png");
}
