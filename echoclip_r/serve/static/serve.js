"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const json = { Accept: "application/json" };
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // While the archive is embedded.
  if ($("progress")) {
    const look = async () => {
      try {
        const now = await (await fetch("/progress")).json();
        if (now.ready || now.failure) return location.reload();
        const left = now.left === null ? "" : `, about ${Math.ceil(now.left / 60)} min left`;
        $("progress").textContent = `${now.what}: ${now.done.toLocaleString("en")} of ${now.total.toLocaleString("en")}${left}`;
        const bar = document.querySelector("progress");
        bar.max = now.total; bar.value = now.done;
      } catch { /* the server starts again; the page asks on */ }
      setTimeout(look, 1500);
    };
    setTimeout(look, 500);
  }

  // While the model is loaded.
  if ($("loading")) {
    const look = async () => {
      try { if ((await (await fetch("/progress")).json()).loaded) return $("loading").remove(); }
      catch { /* the server starts again; the page asks on */ }
      setTimeout(look, 1000);
    };
    setTimeout(look, 500);
  }

  // Clips: the first frame at once, the loop when it is there, and only while it is on the screen.
  const stopped = new WeakSet();
  const play = (image) => {
    if (image.dataset.playing || stopped.has(image)) return;
    image.dataset.still ||= image.src;
    const loop = new Image();
    loop.onload = () => { if (!stopped.has(image) && image.dataset.playing) image.src = loop.src; };
    image.dataset.playing = "1";
    loop.src = image.dataset.loop;
  };
  const stop = (image) => {
    delete image.dataset.playing;
    if (image.dataset.still) image.src = image.dataset.still;
  };
  const clips = [...document.querySelectorAll("img.clip")];
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) isIntersecting ? play(target) : stop(target);
  }, { rootMargin: "200px" });
  for (const image of clips) {
    if (still) stopped.add(image); else seen.observe(image);
    image.closest("a").addEventListener("click", (event) => { event.preventDefault(); toggle(image); });
  }
  const toggle = (image) => {
    if (image.dataset.playing) { stopped.add(image); stop(image); }
    else { stopped.delete(image); play(image); }
  };

  // A long report begins where it says what was asked for.
  for (const report of document.querySelectorAll("article.hit .report")) {
    const said = report.querySelector(".said-differ, .said-agree");
    if (said) report.scrollTop = said.getBoundingClientRect().top - report.getBoundingClientRect().top - 8;
  }

  // Hits by keys.
  const hits = [...document.querySelectorAll("article.hit")];
  let now = -1;
  const go = (place) => {
    if (!hits.length) return;
    now = Math.max(0, Math.min(hits.length - 1, place));
    hits.forEach((hit, at) => hit.classList.toggle("now", at === now));
    hits[now].focus({ preventScroll: true });
    hits[now].scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
  };
  hits.forEach((hit, at) => hit.addEventListener("focusin", () => {
    now = at;
    hits.forEach((one, place) => one.classList.toggle("now", place === now));
  }));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.matches("input, textarea, select")) {
      if (event.key === "Escape") at.blur();
      if (event.key === "Enter" && (event.shiftKey === false) && at.id === "where") at.form.requestSubmit();
      return;
    }
    const onButton = at.matches("button, a, summary");
    const hit = hits[now];
    if (event.key === "/") { event.preventDefault(); $("text")?.focus(); $("text")?.select(); }
    else if (event.key === "j") go(now + 1);
    else if (event.key === "k") go(now - 1);
    else if (event.key === " " && !onButton && hit) { event.preventDefault(); hit.querySelectorAll("img.clip").forEach(toggle); }
    else if ((event.key === "y" || event.key === "n") && hit) hit.querySelector(`.mark [value=${event.key === "y" ? "yes" : "no"}]`).click();
    else if (event.key === "o" && hit) { const text = hit.querySelector("details.text"); if (text) text.open = !text.open; }
  });

  // Marks.
  for (const form of document.querySelectorAll("form.mark")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = event.submitter;
      const was = button.getAttribute("aria-pressed") === "true";
      const data = new FormData(form);
      data.set("relevant", was ? "none" : button.value);
      const answer = await fetch("/mark", { method: "POST", body: data, headers: json });
      const said = $("live");
      if (!answer.ok) { said.textContent = (await answer.json()).error; return; }
      for (const one of form.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === button && !was));
      said.textContent = was ? "mark taken away" : `marked: ${button.textContent}`;
    });
  }

  // Where the model looked: made when it is asked for, shown when it is there.
  for (const link of document.querySelectorAll("a.heat")) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const picture = link.closest(".hit").querySelector(".picture");
      const old = picture.querySelector(".heated");
      if (old) { old.remove(); return; }
      const figure = document.createElement("figure");
      figure.className = "heated";
      const words = document.createElement("figcaption");
      words.textContent = "Looking ...";
      figure.append(words);
      picture.append(figure);
      const image = new Image(224, 224);
      image.alt = "The clip with the places coloured that raise its similarity";
      image.onload = () => { words.textContent = "Places that raise the similarity with the words; it does not prove why."; figure.prepend(image); };
      image.onerror = async () => {
        const answer = await fetch(link.href, { headers: json });
        words.textContent = answer.ok ? "The picture cannot be shown." : (await answer.json()).error;
      };
      image.src = link.href;
    });
  }

  // The form: a report coloured as it is typed, a clip that is dropped, conditions put together.
  const text = $("text"), mirror = $("mirror");
  if (text) {
    let waiting = 0, asked = 0;
    const colour = async () => {
      const number = ++asked, typed = text.value;
      if (!typed.trim()) { mirror.replaceChildren(); return; }
      const data = new FormData();
      data.set("text", typed);
      const answer = await fetch("/colour", { method: "POST", body: data, headers: json });
      if (!answer.ok || number !== asked || typed !== text.value) return;
      mirror.replaceChildren(...(await answer.json()).map(([part, kind]) => {
        const span = document.createElement("span");
        span.className = kind;
        span.textContent = part;
        return span;
      }), "\n");
      mirror.scrollTop = text.scrollTop;
    };
    text.addEventListener("input", () => { mirror.replaceChildren(); clearTimeout(waiting); waiting = setTimeout(colour, 180); });
    text.addEventListener("scroll", () => { mirror.scrollTop = text.scrollTop; });
    text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) text.form.requestSubmit(); });
    if (text.value) colour();

    const drop = $("drop"), file = $("clip");
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
    addEventListener("dragover", () => drop.classList.add("over"));
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
    addEventListener("drop", (event) => {
      drop.classList.remove("over");
      if (event.dataTransfer.files.length) { file.files = event.dataTransfer.files; text.value = ""; text.form.requestSubmit(); }
    });

    $("build").hidden = false;
    $("add").addEventListener("click", () => {
      const parts = [$("finding").value, $("sign").value, $("value").value.trim() || "yes"];
      if (parts[2] === "yes" || parts[2] === "no") parts[1] = "=";
      $("where").value = [$("where").value.trim(), parts.join(" ")].filter(Boolean).join("; ");
    });

    // A question is kept in this tab, so that it can be asked again when the server has forgotten.
    const kept = ["text", "where", "target", "models", "top"];
    text.form.addEventListener("submit", () => {
      const data = new FormData(text.form);
      sessionStorage.setItem("asking", JSON.stringify(kept.map((name) => [name, data.get(name) ?? ""])));
      document.querySelector("#ask .main").textContent = "Searching ...";
    });
    addEventListener("pageshow", () => { document.querySelector("#ask .main").textContent = "Search"; });
    const query = $("query");
    if (query && sessionStorage.getItem("asking")) {
      sessionStorage.setItem(`asked ${query.dataset.answer}`, sessionStorage.getItem("asking"));
      sessionStorage.removeItem("asking");
    }
    if ($("gone")) {
      const known = sessionStorage.getItem(`asked ${location.pathname.split("/")[2]}`);
      if (known) {
        $("again").hidden = false;
        $("again").addEventListener("click", () => {
          for (const [name, value] of JSON.parse(known)) {
            const field = text.form.elements.namedItem(name);
            if (field) field.value = value;
          }
          text.form.requestSubmit();
        });
      }
    }
  }
})();
