// Sets the theme before the page is drawn. It is no module, because modules run later.
"use strict";
{
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];
  const NAMES = { auto: "as the system", light: "light", dark: "dark" };

  /** @param {string} theme */
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };

  /** @returns {string} */
  const stored = () => {
    try {
      const theme = localStorage.getItem("theme") ?? "auto";
      return THEMES.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // the browser stores nothing for this page
    }
  };

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button === null) return;
    let theme = stored();
    const show = () => {
      apply(theme);
      button.dataset.shown = theme;
      button.setAttribute("aria-label", `Theme: ${NAMES[/** @type {"auto"} */ (theme)]}`);
      button.title = `Theme: ${NAMES[/** @type {"auto"} */ (theme)]}`;
    };
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // It holds until the page is closed.
      }
      show();
    });
    show();
  });
}
