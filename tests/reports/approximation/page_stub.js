/* As much of a browser as the page's script asks for, to run it in Node: nothing is drawn. */
const everything = [];
class StubNode {
  constructor(name) {
    Object.assign(this, { name, children: [], attributes: {}, listeners: {}, style: {}, dataset: {},
      clientWidth: 600, value: "", textContent: "", parentNode: null });
    this.classList = { add() {} };
    everything.push(this);
  }
  append(...nodes) { for (const node of nodes) { if (node instanceof StubNode) { node.parentNode = this;
    this.children.push(node); } } }
  replaceChildren() { this.children = []; }
  remove() {}
  setAttribute(key, value) {
    if (/NaN|undefined|Infinity/.test(`${value}`)) throw new Error(`${this.name} ${key}=${value}`);
    this.attributes[key] = value;
    if (key === "type") this.type = value;
    if (key === "value") this.value = value;
  }
  addEventListener(kind, listener) { (this.listeners[kind] ??= []).push(listener); }
  fire(kind, event) { for (const listener of this.listeners[kind] ?? []) listener(event); }
  getContext() {
    return { createImageData: (w, h) => ({ data: new Uint8ClampedArray(4 * w * h) }),
      putImageData(image) {
        if (!image.data.some((value, i) => i % 4 === 3 && value)) throw new Error("empty map");
      } };
  }
  getBoundingClientRect() { return { left: 0, top: 0, width: 600, height: 400 }; }
}
const byId = {};
for (const id of IDS) byId[id] = new StubNode(id);
byId["page-data"].textContent = DATA;
globalThis.document = {
  getElementById: (id) => byId[id] ?? null,
  createElement: (name) => new StubNode(name),
  createElementNS: (_, name) => new StubNode(name),
  body: new StubNode("body"),
  documentElement: new StubNode("html"),
};
globalThis.window = { addEventListener() {}, matchMedia: () => ({ matches: false, addEventListener() {} }) };
globalThis.requestAnimationFrame = (work) => work();
globalThis.clearInterval = () => {};
globalThis.setInterval = () => 1;
