// What scrolls must be reachable by keyboard; what does not scroll should not be in the way.
document.addEventListener("DOMContentLoaded", () => {
  const regions = document.querySelectorAll("div.math, div.highlight pre, div.cell_output pre, .tb-figure, .pst-scrollable-table-container, .ledger-row");
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  regions.forEach((region) => watch.observe(region));
});
