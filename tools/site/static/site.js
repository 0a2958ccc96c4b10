// What scrolls sideways can be reached by the keyboard; the menu leads back to the front page.
addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".highlight pre, .table-wrapper, div.math, .cell_output .output")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
  for (const brand of document.querySelectorAll("a.sidebar-brand, .header-center a")) {
    brand.href = new URL("index.html", new URL(document.documentElement.dataset.content_root ?? "./", location.href)).href;
  }
});
