"use strict";
(() => {
  const root = document.documentElement.dataset.root;
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // Light and dark.
  document.getElementById("theme").addEventListener("click", () => {
    const page = document.documentElement;
    const dark = page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    page.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("watershed-theme", page.dataset.theme);
    } catch (error) {
      // The choice then holds for this page alone.
    }
  });

  // Search: the index is read when the box is first used, from files beside the page.
  const box = document.getElementById("q");
  const found = document.getElementById("found");
  const load = (name) =>
    new Promise((resolve, reject) => {
      document.head.append(element("script", { src: `${root}assets/${name}`, onload: resolve, onerror: reject }));
    });
  let index = null;
  const ready = () =>
    (index ??= Promise.all([load("minisearch.js"), load("search.js")]).then(() => {
      const search = new MiniSearch({
        fields: ["title", "words"],
        storeFields: ["title", "words", "kind", "address"],
        tokenize: (text) => text.split(/[\s.,;:/()_=-]+/),
        searchOptions: {
          boost: { title: 3 },
          prefix: (term) => term.length > 1,
          // Two letters that changed places are two edits.
          fuzzy: (term) => (term.length > 4 ? 0.3 : term.length > 3 ? 0.25 : false),
          combineWith: "AND",
          boostDocument: (id, term, fields) => ({ table: 2, model: 2, view: 1.4, column: 0.6 })[fields.kind] ?? 1,
        },
      });
      search.addAll(
        window.WATERSHED_SEARCH.map(([title, words, kind, address], id) => ({ id, title, words, kind, address })),
      );
      return search;
    }));
  const show = async () => {
    const words = box.value.trim();
    if (!words) {
      found.hidden = true;
      return;
    }
    const search = await ready();
    if (words !== box.value.trim()) return;
    const hits = search.search(words).slice(0, 12);
    found.replaceChildren(
      ...hits.map((hit) =>
        element(
          "a",
          { href: root + hit.address },
          element("strong", { textContent: hit.title }),
          element("small", { textContent: hit.kind }),
          element("span", { textContent: hit.words }),
        ),
      ),
    );
    if (!hits.length) found.append(element("p", { textContent: `Nothing is found for “${words}”.` }));
    found.hidden = false;
  };
  box.addEventListener("focus", ready, { once: true });
  box.addEventListener("input", show);
  box.addEventListener("focus", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) found.hidden = true;
  });
  document.addEventListener("keydown", (event) => {
    const links = [...found.querySelectorAll("a")];
    const place = links.indexOf(document.activeElement);
    const inside = !found.hidden && (document.activeElement === box || place >= 0);
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      box.focus();
    } else if (event.key === "Escape") {
      found.hidden = true;
    } else if (inside && event.key === "ArrowDown" && links.length) {
      event.preventDefault();
      links[Math.min(place + 1, links.length - 1)].focus();
    } else if (inside && event.key === "ArrowUp" && links.length) {
      event.preventDefault();
      (place > 0 ? links[place - 1] : box).focus();
    } else if (event.key === "Enter" && document.activeElement === box && links.length) {
      location.href = links[0].href;
    }
  });

  // Copy buttons.
  document.querySelectorAll(".copy").forEach((button) =>
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch (error) {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    }),
  );

  // Lists with filters: values of one filter are alternatives, filters and words add up.
  document.querySelectorAll("[data-list]").forEach((list) => {
    const items = (window.WATERSHED_LISTS ?? {})[list.dataset.list] ?? [];
    const form = list.querySelector("form");
    const note = list.querySelector("[aria-live]");
    const places = list.querySelector(".items");
    const drawn = items.map(([title, address, words, facts]) => {
      const outside = /^https?:/.test(address);
      const link = address
        ? element("a", { href: address, textContent: title, className: outside ? "out" : "", rel: "noopener noreferrer nofollow" })
        : element("span", { textContent: title });
      const chips = facts.map((fact) => element("span", { textContent: fact, className: "badge" }));
      const line = element("p", { textContent: words });
      return element("li", {}, element("h3", {}, link), line, element("div", { className: "badges" }, ...chips));
    });
    const texts = items.map(([title, , words, facts]) => `${title} ${words} ${facts.join(" ")}`.toLowerCase());
    const apply = () => {
      const chosen = new FormData(form);
      const words = (chosen.get("words") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      const facets = [...new Set([...form.querySelectorAll("[type=checkbox]")].map((each) => each.name))];
      const kept = drawn.filter((line, place) => {
        const values = items[place][4];
        return (
          words.every((word) => texts[place].includes(word)) &&
          facets.every((facet) => {
            const wanted = chosen.getAll(facet);
            return !wanted.length || wanted.some((value) => (values[facet] ?? []).includes(value));
          })
        );
      });
      places.replaceChildren(...kept);
      note.textContent = `${kept.length.toLocaleString("en")} of ${items.length.toLocaleString("en")}`;
    };
    // A result of search names the item: #find=WORDS.
    const named = () => {
      if (!location.hash.startsWith("#find=")) return;
      form.reset();
      form.elements.words.value = decodeURIComponent(location.hash.slice(6));
      apply();
      list.scrollIntoView();
    };
    addEventListener("hashchange", named);
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
    named();
  });
})();
