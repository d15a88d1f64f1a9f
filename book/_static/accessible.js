// What the theme and the notebook extension leave to do for readers who use a keyboard or a screen reader.

// A box that scrolls sideways can be reached with the tabulator key, and then scrolled with the arrow keys.
function reachScrollingBoxes() {
  for (const box of document.querySelectorAll(".bd-article :is(pre, table, .pst-scrollable-table-container, .text_html, .math)")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
    if (scrolls && box.tabIndex < 0) {
      box.tabIndex = 0;
      box.dataset.reached = "";
    } else if (!scrolls && "reached" in box.dataset) {
      box.removeAttribute("tabindex");
      delete box.dataset.reached;
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  // These labels hide the visible text from screen readers and from voice control.
  for (const control of document.querySelectorAll("summary[aria-label='Toggle hidden content'], .search-button-field[aria-label]")) {
    control.removeAttribute("aria-label");
  }
  // Docutils gives an entry of the references a role that is no longer valid inside a list.
  for (const entry of document.querySelectorAll("[role='list'] > [role='doc-biblioentry']")) {
    entry.setAttribute("role", "listitem");
  }
  new ResizeObserver(reachScrollingBoxes).observe(document.body);
  document.addEventListener("toggle", reachScrollingBoxes, true);  // folded parts have no width before
});
window.addEventListener("load", reachScrollingBoxes);
