(() => {
  // Without this script the browser shows the titles; with it they come at once, and to touch.
  const tip = document.getElementById("tip");
  let shown = null;
  const hide = () => {
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  };
  const show = (event) => {
    const token = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (token === shown) return;
    hide();
    if (!token) return;
    shown = token;
    tip.textContent = token.dataset.tip;
    token.setAttribute("aria-describedby", "tip");
    tip.hidden = false;
    const boxes = [...token.getClientRects()];
    const box = boxes.find((b) => event.clientY <= b.bottom + 2) || boxes[0];
    const below = box.bottom + 8;
    const fits = below + tip.offsetHeight < innerHeight;
    tip.style.top = (fits ? below : Math.max(4, box.top - tip.offsetHeight - 8)) + "px";
    tip.style.left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8)) + "px";
  };
  for (const token of document.querySelectorAll("[title]")) {
    token.dataset.tip = token.title;
    token.removeAttribute("title");
  }
  addEventListener("pointerover", show);
  addEventListener("focusin", show);
  addEventListener("focusout", hide);
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
