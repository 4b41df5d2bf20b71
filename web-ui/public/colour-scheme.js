// Same key and values as src/theme.ts. Runs before the first paint, so that a dark page never flashes white.
(function () {
  var chosen = "auto";
  try {
    chosen = localStorage.getItem("muster-colour-scheme") || "auto";
  } catch (_) {
    // Storage may be forbidden; the system's choice is used then.
  }
  var dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
