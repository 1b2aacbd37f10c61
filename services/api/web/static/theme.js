// Light or dark: as the system has it, unless the reader chose.

const KEY = "cortexai-theme";
export const THEMES = ["system", "light", "dark"];

/** The reader's choice. */
export function theme() {
  try {
    const chosen = localStorage.getItem(KEY);
    return THEMES.includes(chosen) ? chosen : "system";
  } catch {
    return "system"; // storage is switched off
  }
}

/** Shows a theme, and remembers it. */
export function setTheme(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It holds until the page is left.
  }
  document.documentElement.dataset.theme = chosen;
}

document.documentElement.dataset.theme = theme();
