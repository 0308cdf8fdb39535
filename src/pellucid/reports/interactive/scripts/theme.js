/* Light, dark, or as the system has it; remembered where the browser lets a page remember. */

const THEMES = [["", "as the system"], ["light", "light"], ["dark", "dark"]];
const THEME_KEY = "pellucid-theme";

function addThemeSwitch(header) {
  let chosen = "";
  try {
    chosen = localStorage.getItem(THEME_KEY) ?? "";
  } catch { /* a page without storage starts as the system has it */ }
  const select = choice(header, "Colors", THEMES, apply);
  select.parentElement.classList.add("theme");
  apply(chosen === "light" || chosen === "dark" ? chosen : "");

  function apply(theme) {
    select.value = theme;
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(THEME_KEY, theme);
    } catch { /* then it holds for this visit */ }
  }
}
