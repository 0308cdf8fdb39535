/* The local page only: an image of the reader's own, dropped or chosen, answered by the program
   that serves this page. It is sent nowhere else. */

const ANSWER_PATH = "explain";

function addUpload(app, host) {
  const zone = html("div", { class: "drop" });
  host.prepend(zone);
  const label = html("label", {}, zone);
  html("b", {}, label, "Your image");
  html("span", { class: "note" }, label, "drop or paste it, or choose a file; it stays on this computer");
  const input = html("input", { type: "file", accept: "image/*" }, label);
  const said = html("p", { class: "note", role: "status" }, zone);
  input.addEventListener("change", () => {
    if (input.files.length) send(input.files[0]);
    input.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    window.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
    });
  }
  window.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) send(event.clipboardData.files[0]);
  });

  async function send(file) {
    said.classList.remove("failed");
    said.textContent = `Reading ${file.name} …`;
    const body = new FormData();
    body.append("image", file);
    try {
      const response = await fetch(ANSWER_PATH, { method: "POST", body });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error ?? `the program answered ${response.status}`);
      app.addImage(answer);
      zone.scrollIntoView({ block: "start" }); // below it stands what is new
      said.textContent = `${answer.name} is followed below.`;
    } catch (error) {
      said.classList.add("failed");
      said.textContent = error instanceof TypeError || error instanceof SyntaxError
        ? "The program does not answer. Is `pellucid serve` still running?" : `Not possible: ${error.message}`;
    }
  }
}
