"use strict";
(function () {
	const root = document.documentElement;
	const group = document.getElementById("frames");
	const width = +group.dataset.width, margin = +group.dataset.margin;
	const frames = Array.from(group.querySelectorAll("g.f")).map(function (g) {
		const t = g.querySelector("text");
		return { g: g, x: +g.dataset.x, w: +g.dataset.w, rect: g.querySelector("rect"), text: t,
			 full: g.querySelector("title").textContent, name: g.querySelector("title").textContent.split("\n")[0] };
	});
	const reset = document.getElementById("reset"), search = document.getElementById("search");
	const hit = document.getElementById("hit");

	function label(f, w) {
		const fits = Math.floor((w - 6) / 7.3);
		const name = f.name.length <= fits ? f.name : f.name.replace(/(^| )\/.*\//, "$1");
		f.text.textContent = fits < 3 ? "" : name.length <= fits ? name : name.slice(0, fits - 1) + "…";
	}

	/* Frames below the one chosen fill the width, those above it scale with it. */
	function zoom(to) {
		const scale = to ? width / to.w : 1, from = to ? to.x : 0;
		frames.forEach(function (f) {
			const left = Math.max(0, (f.x - from) * scale);
			const right = Math.min(width, (f.x + f.w - from) * scale);
			const w = right - left;
			f.g.style.display = w < 0.1 ? "none" : "";
			if (w < 0.1)
				return;
			f.rect.setAttribute("x", margin + left);
			f.rect.setAttribute("width", Math.max(0.1, w - 0.5));
			f.text.setAttribute("x", margin + left + 4);
			label(f, w);
		});
		reset.setAttribute("visibility", to ? "visible" : "hidden");
	}

	function find(word) {
		let sum = 0, covered = -1;
		frames.forEach(function (f) {
			const is = !!word && f.name.toLowerCase().includes(word.toLowerCase());
			f.g.classList.toggle("hit", is);
		});
		if (word)
			frames.filter(function (f) { return f.g.classList.contains("hit"); })
				.sort(function (a, b) { return a.x - b.x || b.w - a.w; })
				.forEach(function (f) {
					if (f.x + f.w <= covered + 1e-6)
						return;
					sum += f.x + f.w - Math.max(covered, f.x);
					covered = f.x + f.w;
				});
		hit.textContent = word ? "matched: " + (100 * sum / width).toFixed(1) + " %" : "";
	}

	group.addEventListener("click", function (e) {
		const g = e.target.closest("g.f"), f = frames.find(function (x) { return x.g === g; });
		if (f)
			zoom(f.w >= width - 0.01 ? null : f);
	});
	reset.addEventListener("click", function () { zoom(null); });
	search.addEventListener("click", function () { find(prompt("search for a function or file", "") || ""); });
	root.addEventListener("keydown", function (e) {
		if (e.key === "Escape") {
			find("");
			zoom(null);
		} else if (e.key === "/" || (e.key === "f" && (e.ctrlKey || e.metaKey))) {
			e.preventDefault();
			find(prompt("search for a function or file", "") || "");
		}
	});
	search.setAttribute("visibility", "visible");
	if (location.hash.startsWith("#search="))
		find(decodeURIComponent(location.hash.slice(8)));
}());
