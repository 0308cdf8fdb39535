/* Controls: labelled sliders, switches, choices and a play button, all the browser's own. */

let controlCount = 0;

/* A slider with its label and value. With `log`, equal steps multiply the value. */
function slider(host, { label, low, high, step, value, log = false, write = writeNumber, onChange }) {
  const id = `control-${controlCount++}`;
  const row = html("div", { class: "control" }, host);
  html("label", { for: id }, row, label);
  const output = html("output", { for: id }, row);
  const input = html("input", { type: "range", id }, row);
  const positions = 300;
  const toPosition = (v) => (log ? (positions * Math.log(v / low)) / Math.log(high / low) : v);
  const toValue = (p) => (log ? low * (high / low) ** (p / positions) : p);
  input.min = log ? 0 : low;
  input.max = log ? positions : high;
  input.step = log ? 1 : step;
  const state = { value, input, row, set, setRange };
  function show() {
    output.textContent = write(state.value);
    input.setAttribute("aria-valuetext", write(state.value));
  }
  function set(next) {
    state.value = next;
    input.value = toPosition(next);
    show();
  }
  function setRange(nextLow, nextHigh) {
    input.min = nextLow;
    input.max = nextHigh;
    set(Math.min(Math.max(state.value, nextLow), nextHigh));
  }
  input.addEventListener("input", () => {
    state.value = toValue(Number(input.value));
    show();
    onChange(state.value);
  });
  set(value);
  return state;
}

function switchBox(host, { label, checked = false, onChange }) {
  const id = `control-${controlCount++}`;
  const row = html("div", { class: "control check" }, host);
  const input = html("input", { type: "checkbox", id }, row);
  html("label", { for: id }, row, label);
  input.checked = checked;
  input.addEventListener("change", () => onChange(input.checked));
  return input;
}

function choice(host, { label, options, onChange }) {
  const id = `control-${controlCount++}`;
  const row = html("div", { class: "control choice" }, host);
  html("label", { for: id }, row, label);
  const select = html("select", { id }, row);
  for (const [value, text] of options) html("option", { value }, select, text);
  select.addEventListener("change", () => onChange(select.value));
  return select;
}

function button(host, text, onPress) {
  const node = html("button", { type: "button" }, host, text);
  node.addEventListener("click", onPress);
  return node;
}

/* Plays a slider from where it stands to its end, from the start when it is at the end. */
function playButton(host, control, advance) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    node.textContent = "▶ Play";
  };
  const node = button(host, "▶ Play", () => {
    if (timer !== null) return stop();
    node.textContent = "❚❚ Pause";
    const last = Number(control.input.max);
    if (control.value >= last) advance(Number(control.input.min));
    const pause = Math.max(40, Math.min(500, 8000 / Math.max(1, last)));
    timer = setInterval(() => {
      if (control.value >= Number(control.input.max)) return stop();
      advance(control.value + 1);
    }, pause);
  });
  control.input.addEventListener("input", () => timer !== null && stop());
  return node;
}

/* A list of facts: pairs of name and value, replaced as a whole. */
function writeFacts(host, facts) {
  host.replaceChildren();
  for (const [name, value] of facts) {
    const item = html("div", {}, host);
    html("dt", {}, item, name);
    html("dd", {}, item, value);
  }
}

/* Runs `work` at most once per frame, however often it is asked for. */
function onceAFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}
